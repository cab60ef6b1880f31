# SPDX-License-Identifier: Apache-2.0
"""Tests of the stages one by one; whole runs are in tests/end_to_end."""

import contextlib
import functools
import io
import json
import os
import tempfile
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import linen as nn

from data_ops import vocabulary
from prompt_tuning.bundled import bundled, world
from prompt_tuning.config import checkpoint_config, dataset_config
from prompt_tuning.models import models, network
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.runs import best_prompt, preparation, training_stages
from prompt_tuning.training import adafactor, optimizers, subset, trainer

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)  # Most of the time is compilation.

LABELS = ("negative", "positive")
PROMPT = "encoder/prompt/prompt/prompt"
SAVE = checkpoint_config.SaveCheckpointConfig(
    period=2, checkpointer_cls=lambda: checkpoint_config.Checkpointer(save_paths=(".*/prompt",))
)


def make_model(length=3, rows=1280, regex=".*/prompt/.*"):
    words = vocabulary.SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)
    config = network.T5Config(
        vocab_size=rows, emb_dim=8, num_heads=2, head_dim=4, mlp_dim=8,
        num_encoder_layers=1, num_decoder_layers=1, dtype="float32",
    )  # fmt: skip
    module = prompted_network.PromptedTransformer(
        config,
        prompt_factory=lambda: combine.Prompt(prompt.Prompt(length, nn.initializers.uniform(0.5))),
    )
    optimizer = optimizers.MultiOptimizer(
        [(optimizers.ModelParamTraversal(subset.match_any([regex])), adafactor.Adafactor())]
    )
    return models.EncoderDecoderModel(module, words, words, optimizer)


class TrainingStagesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Every run compiles the same programs.
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

    def setUp(self):
        super().setUp()
        self.folder = self.create_tempdir().full_path
        self.model_dir = os.path.join(self.folder, "run")
        files = {}
        for split, seed in (("train", 1), ("validation", 2)):
            examples = world.classification_examples(split, 8, seed)
            files[f"{split}_file"] = os.path.join(self.folder, f"{split}.tsv")
            with open(files[f"{split}_file"], "w", encoding="utf-8") as file:
                file.write("label\ttext\n" + "".join(f"{y}\t{x}\n" for x, y in examples))
        self.files = dataset_config.FileTask(**files, label_words=LABELS)

    def dataset(self, split="train", files=None):
        lengths = {"inputs": 32, "targets": 4}
        return dataset_config.DatasetConfig(
            "file_task", lengths, split, 4, False, 0, file_task=files or self.files
        )

    def stages(self, model=None, best=None):
        """Of a run without a checkpoint."""
        model = model or make_model()
        cls = functools.partial(trainer.Trainer, learning_rate_fn=lambda step: jnp.float32(0.1))
        best = best_prompt.BestPrompt(self.model_dir, best)
        run = training_stages.TrainingStages(
            model, self.model_dir, cls, 0, False, False, best, preparation.prepare(model, None, None)
        )  # fmt: skip
        self.enter_context(mock.patch.object(run.display, "note", self.notes.append))
        return run

    @property
    def notes(self):
        self._notes = getattr(self, "_notes", [])
        return self._notes

    def initialized(self, steps=4, **options):
        run = self.stages(**options)
        run.open_data(self.dataset(), self.dataset("validation"), None)
        config = checkpoint_config.CheckpointConfig(save=SAVE)
        run.initialize(config, None, steps, None)
        run.open_model_dir(None)
        return run

    def trained(self, steps=4, **options):
        run = self.initialized(steps, **options)
        run.loop(None, 0, 2, 1)
        return run

    def test_data_come_first_and_a_wrong_vocabulary_is_told(self):
        run = self.stages(make_model(rows=200))
        with self.assertRaisesRegex(ValueError, "ids, but the model's table has 200 rows"):
            run.open_data(self.dataset(), None, None)

    def test_the_splits_of_the_evaluations(self):
        run = self.stages()
        run.open_data(self.dataset(), self.dataset("validation"), "test")
        self.assertEqual(run.evaluator.split, "validation")
        self.assertIsNone(run.final_evaluator)  # There is no such file.
        run.evaluate("with_prompt", "title")
        self.assertEqual((self.notes, list(run.figures)), ([], ["random_seed"]))

    @parameterized.parameters(((None, 3), 3), ((7, None), 7), ((7, 3), 3))
    def test_the_last_step(self, given, expected):
        run = self.stages()
        run.open_data(self.dataset(), None, None)
        run.initialize(checkpoint_config.CheckpointConfig(save=SAVE), *given, None)
        self.assertEqual(run.last_step, expected)
        self.assertEqual(list(run.state.params), [PROMPT])
        self.assertNotIn(PROMPT, run.frozen)

    def test_a_prompt_without_positions_is_nothing_to_train(self):
        run = self.stages(make_model(length=0))
        run.open_data(self.dataset(), None, None)
        with self.assertRaisesRegex(ValueError, "nothing to train.*--prompt_length"):
            run.initialize(checkpoint_config.CheckpointConfig(save=SAVE), None, 3, None)

    def test_a_whole_run_and_the_same_one_again(self):
        run = self.trained()
        self.assertEqual(int(run.state.step), 4)
        saved = np.load(run.prompt_file())
        np.testing.assert_array_equal(saved, run.state.params[PROMPT])
        self.assertEndsWith(run.prompt_file(), "checkpoint_4/encoder.prompt.prompt.prompt")
        run.take_best()  # None is looked for.
        self.assertEqual(int(run.state.step), 4)
        run.evaluate_both()
        with contextlib.redirect_stdout(io.StringIO()):
            figures = run.report(os.path.join(self.folder, "prompt.tar"))
        with open(os.path.join(self.model_dir, "summary.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["train_steps"], 4)
        self.assertEqual((figures["prompt_parameters"], figures["prompt_bytes"]), (24, 96))
        for name in ("accuracy_with_prompt", "accuracy_without_prompt", "steps_per_second"):
            self.assertIn(name, figures)
        self.assertTrue(os.path.isfile(os.path.join(self.folder, "prompt.tar")))

        again = self.trained()
        self.assertIn(f"going on from {self.model_dir}/checkpoint_4", self.notes)
        self.assertIn("step 4 was reached before; nothing to train", self.notes)
        np.testing.assert_array_equal(again.state.params[PROMPT], saved)

    def test_the_best_state_takes_the_place_of_the_last(self):
        run = self.trained(best="accuracy")
        first = np.load(run.prompt_file().replace("checkpoint_4", "checkpoint_2"))
        run.best.evaluations = [(2, 0.9), (4, 0.1)]
        run.take_best()
        self.assertEqual(int(run.state.step), 2)
        np.testing.assert_array_equal(run.state.params[PROMPT], first)
        self.assertIn("going back to the best prompt, of step 2", self.notes)

    def test_every_action_is_asked(self):
        run = self.initialized()
        run.periodic = mock.Mock()
        run.periodic.metrics_by_task.return_value = {"TRAIN_EVAL": {"a": 1}, "INFER_EVAL": {}}
        answers = [mock.Mock(**{"run.return_value": answer}) for answer in (True, False)]
        run.actions = {"TRAIN_EVAL": answers[:1], "INFER_EVAL": answers[1:]}
        self.assertTrue(run.is_stopped_by_an_action(run.state))
        answers[0].run.assert_called_once_with(run.state, {"a": 1})
        answers[1].run.assert_called_once_with(run.state, {})
        run.actions = {}
        self.assertFalse(run.is_stopped_by_an_action(run.state))

    def test_a_process_that_does_not_lead_writes_nothing(self):
        with mock.patch.object(training_stages.processes, "leads", return_value=False):
            run = self.initialized(2)
        self.assertIsNone(run.writer)
        with mock.patch.object(training_stages.summary, "write") as written:
            self.assertEqual(run.report()["prompt_parameters"], 24)
        written.assert_not_called()
        self.assertFalse(os.path.exists(os.path.join(self.model_dir, "summary.json")))

    def test_several_trained_parameters_have_a_folder(self):
        run = self.initialized(model=make_model(regex=".*(/prompt|_norm/scale)"))
        self.assertGreater(len(run.state.params), 1)
        self.assertEndsWith(run.prompt_file(), "numpy_checkpoints/checkpoint_0")


if __name__ == "__main__":
    absltest.main()
