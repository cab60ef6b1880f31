# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest

from prompt_tuning.data import fixture_tfds

_MRPC = "sentence1\tsentence2\tlabel\nHe left.\tHe went.\t1\nIt is.\tNo.\t0\n"
_QQP = "question1\tquestion2\tis_duplicate\nWhy?\tHow?\t0\nWhy?\tHow come?\t1\n"


class GlueTransferTest(fixture_tfds.TfdsTestCase):
    files = {
        "glue/mrpc:1.0.0": {"train": _MRPC, "validation": _MRPC},
        "glue/qqp:1.0.0": {"train": _QQP, "validation": _QQP},
    }

    def test_answers_are_translated(self):
        answers = {
            "mrpc_from_qqp": ["duplicate", "duplicate"],
            "qqp_from_mrpc": ["equivalent", "equivalent"],
        }
        for pair, predictions in answers.items():
            for marker in ("", "taskless_", "task_index_"):
                for suffix in ("", "_examples"):
                    name = f"{marker}glue_{pair}_v002{suffix}"
                    got = self.measure(name, predictions)
                    self.assertEqual(got["accuracy"], 50.0, name)
                    self.assertAlmostEqual(got["f1"], 200 / 3, msg=name)

    def test_no_answer_in_the_words_of_the_source_is_unknown(self):
        for pair, words in (("mrpc_from_qqp", "duplicate"), ("qqp_from_mrpc", "equivalent")):
            task = self.task(f"taskless_glue_{pair}_v002")
            ids = [task.postprocess_fn(f"{n}{words}", example={}) for n in ("not_", "")]
            self.assertEqual(ids, [0, 1])
            self.assertEqual(task.postprocess_fn("maybe", example={}), -1)

    def test_examples_variant_gives_dicts(self):
        example = {"inputs_pretokenized": b"in", "targets_pretokenized": b"equivalent"}
        task = self.task("glue_mrpc_from_qqp_v002_examples")
        got = task.postprocess_fn("duplicate", example=example, is_target=False)
        self.assertEqual((got["prediction"], got["prediction_pretokenized"]), (1, "duplicate"))

    def test_mixture_trains_on_the_source(self):
        mixture = self.task("taskless_glue_mrpc_from_qqp_zeroshot_v002_examples")
        members = {task.name: list(task.splits) for task in mixture.tasks}
        self.assertEqual(members["taskless_glue_mrpc_from_qqp_v002_examples"], ["validation"])
        self.assertIn("train", members["taskless_glue_qqp_v002"])
        train = self.examples(mixture.name, "train", num_epochs=1)
        alone = self.examples("taskless_glue_qqp_v002", "train")
        self.assertCountEqual(
            [e["inputs"].tolist() for e in train], [e["inputs"].tolist() for e in alone]
        )


if __name__ == "__main__":
    absltest.main()
