# SPDX-License-Identifier: Apache-2.0
import types

from absl.testing import absltest

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.config import dataset_config
from prompt_tuning.runs import task_view


class ReportTest(absltest.TestCase):
    def report(self, task: str = "bundled_reviews", **options) -> str:
        vocabulary = SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)
        config = dataset_config.DatasetConfig(
            mixture_or_task_name=task,
            task_feature_lengths={"inputs": 16, "targets": 4},
            split="train",
            batch_size=2,
            shuffle=False,
            seed=0,
        )
        settings = {
            "train_dataset_cfg": config,
            "model": types.SimpleNamespace(input_vocabulary=vocabulary),
        }
        return task_view.report(settings, **options)

    def test_figures_lengths_and_examples(self):
        text = self.report(num_examples=2)
        for part in (
            "2,000 examples",
            "'negative' 1,000",
            "longer than 16 are cut",
            "tokens of in",
        ):
            self.assertIn(part, text)
        self.assertIn("example 2", text)
        self.assertNotIn("example 3", text)

    def test_another_split_and_fewer_examples(self):
        text = self.report(split="validation", num_examples=0, max_examples=10)
        self.assertIn("split validation", text)
        self.assertIn("10", text.splitlines()[0])
        self.assertNotIn("example 1", text)

    def test_unknown_task(self):
        with self.assertRaisesRegex(ValueError, "bundled_reviews"):
            self.report(task="bundled_revews")


if __name__ == "__main__":
    absltest.main()
