# SPDX-License-Identifier: Apache-2.0
import dataclasses

import jax
import numpy as np
from absl.testing import absltest

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.bundled import bundled, world
from prompt_tuning.config import dataset_config
from prompt_tuning.inference import predictor
from prompt_tuning.models import models, network
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.runs import evaluation, initialization

jax.config.update("jax_numpy_rank_promotion", "raise")

SHAPES = {"encoder_input_tokens": (1, 4), "decoder_input_tokens": (1, 3)}
LABELS = ("negative", "positive")


def make_model(vocabulary):
    config = network.T5Config(
        vocab_size=1280, emb_dim=8, num_heads=2, head_dim=4, mlp_dim=8,
        num_encoder_layers=1, num_decoder_layers=1, dtype="float32",
    )  # fmt: skip
    module = prompted_network.PromptedTransformer(
        config, prompt_factory=lambda: combine.Prompt(prompt.Prompt(3))
    )
    return models.EncoderDecoderModel(module, vocabulary, vocabulary, None)


class SplitEvaluatorTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.vocabulary = SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)
        cls.model = make_model(cls.vocabulary)
        initial = initialization.initial_parameters(cls.model, SHAPES, jax.random.PRNGKey(3))
        cls.params = initial.params
        cls.examples = world.classification_examples("test", 22, 0)

    def config(self):
        rows = "".join(f"{label}\t{text}\n" for text, label in self.examples)
        path = self.create_tempfile("dev.tsv", "label\ttext\n" + rows).full_path
        files = dataset_config.FileTask(
            validation_file=path, label_words=LABELS, add_inputs_eos=False
        )
        return dataset_config.DatasetConfig(
            "file_task", {"inputs": 64, "targets": 4}, "validation", 4, False, 0, file_task=files
        )

    def expected(self, **options):
        """Accuracy by the engine that `infer` uses."""
        made = predictor.Predictor(
            self.model, self.params, self.vocabulary,
            inputs_length=64, targets_length=4, add_inputs_eos=False, **options,
        )  # fmt: skip
        scores = made.score_labels([text for text, _ in self.examples], LABELS)
        gold = np.array([LABELS.index(label) for _, label in self.examples])
        return scores, float(np.mean(scores.argmax(axis=1) == gold))

    def test_figures_agree_with_the_predictor_with_and_without_a_prompt(self):
        evaluator = evaluation.SplitEvaluator(self.model, self.config(), self.vocabulary)
        nothing = np.zeros((0, 8), np.float32)
        for extra, options in (
            (None, {}),
            (evaluation.no_prompt(self.model), {"prompt": nothing}),
        ):
            figures = evaluator.figures(self.params, 7, extra)
            self.assertEqual(evaluator.score_names(), {*evaluator.task_metrics, *figures})
            scores, accuracy = self.expected(**options)
            self.assertAlmostEqual(figures["accuracy"], accuracy, places=6)
            self.assertEqual(set(figures), {"accuracy", "auc", "exact_match"})
            texts = [text for text, _ in self.examples]
            ours = evaluator._score_texts(self.params, texts, LABELS, dict(extra or {}))
            np.testing.assert_allclose(ours, scores, atol=1e-4)

    def test_labels_that_are_cut_are_told_once(self):
        config = dataclasses.replace(
            self.config(), task_feature_lengths={"inputs": 64, "targets": 1}
        )
        with self.assertLogs(level="WARNING") as logs:
            evaluation.SplitEvaluator(
                self.model, config, self.vocabulary, output_dir=self.create_tempdir().full_path
            )
            evaluation.SplitEvaluator(self.model, config, self.vocabulary)
        self.assertLen(logs.output, 1)
        self.assertIn("22 of the first 22 targets of the task 'file_task'", logs.output[0])

    def test_a_prompt_changes_the_scores(self):
        with_prompt, _ = self.expected()
        without, _ = self.expected(prompt=np.zeros((0, 8), np.float32))
        self.assertGreater(np.abs(with_prompt - without).max(), 1e-5)


if __name__ == "__main__":
    absltest.main()
