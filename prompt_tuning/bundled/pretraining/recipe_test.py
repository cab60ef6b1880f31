# SPDX-License-Identifier: Apache-2.0
import itertools
import os
from unittest import mock

import jax
import numpy as np
from absl.testing import absltest

from prompt_tuning.bundled import bundled
from prompt_tuning.bundled.pretraining import recipe, tiny_model
from prompt_tuning.models import network

jax.config.update("jax_numpy_rank_promotion", "raise")

SHORT = recipe.Recipe(span_steps=3, prefix_steps=3, batch_size=8, warmup_steps=2)


class RecipeTest(absltest.TestCase):
    def test_learning_rate_rises_holds_and_falls(self):
        rate = recipe.learning_rate_schedule(recipe.Recipe())
        self.assertAlmostEqual(float(rate(0)), 0.02 / 50)
        self.assertAlmostEqual(float(rate(50)), 0.02)
        self.assertAlmostEqual(float(rate(1080)), 0.02)
        self.assertAlmostEqual(float(rate(1440)), 0.0105, places=6)
        self.assertAlmostEqual(float(rate(1800)), 0.001)

    def test_span_corruption_comes_first_and_has_sentinels(self):
        found = list(recipe.batches(SHORT))
        self.assertLen(found, SHORT.steps)
        first_sentinel = bundled.SIZES["vocab_size"] - 1
        with_sentinel = [bool((b["encoder_input_tokens"] == first_sentinel).any()) for b in found]
        self.assertEqual(with_sentinel, [True] * 3 + [False] * 3)

    def test_prefix_inputs_have_no_end_of_sequence(self):
        *_, last = recipe.batches(SHORT)
        self.assertFalse((last["encoder_input_tokens"] == 1).any())
        self.assertTrue((last["decoder_target_tokens"] == 1).any())

    def test_all_batches_have_one_shape(self):
        shapes = {tuple(array.shape for array in batch.values()) for batch in recipe.batches(SHORT)}
        self.assertEqual(shapes, {((8, 32), (8, 24), (8, 24), (8, 24))})

    def test_batches_depend_on_the_seed_alone(self):
        first, again = recipe.batches(SHORT), recipe.batches(SHORT)
        for one, two in zip(first, again, strict=True):
            np.testing.assert_array_equal(one["encoder_input_tokens"], two["encoder_input_tokens"])
        other = recipe.batches(recipe.Recipe(3, 3, 8, seed=1))
        pairs = itertools.zip_longest(recipe.batches(SHORT), other)
        self.assertTrue(
            all((a["encoder_input_tokens"] != b["encoder_input_tokens"]).any() for a, b in pairs)
        )


class PretrainTest(absltest.TestCase):
    def test_every_parameter_moves(self):
        module = network.Transformer(tiny_model.config())
        before = tiny_model.initial_params(module, SHORT.seed)
        with self.assertLogs(level="INFO") as logs:
            after = recipe.pretrain(SHORT, log_period=4)
        self.assertEqual(set(after), set(before))
        for name, value in after.items():
            self.assertEqual(value.dtype, np.float32)
            self.assertTrue((np.asarray(value) != np.asarray(before[name])).any(), msg=name)
        reports = [line for line in logs.output if "held-out words" in line]
        self.assertLen(reports, 2)
        self.assertIn("step 4, loss", reports[0])

    def test_an_existing_checkpoint_stops_the_run_before_it_begins(self):
        folder = self.create_tempdir().full_path
        with mock.patch.object(recipe, "pretrain", return_value={"a": np.ones(2, np.float32)}):
            path = recipe.write_checkpoint(SHORT, folder)
        self.assertEqual(path, os.path.join(folder, "checkpoint_6"))
        with mock.patch.object(recipe, "pretrain") as job:
            with self.assertRaisesRegex(ValueError, "step 6 already.*--model_dir"):
                recipe.write_checkpoint(SHORT, folder)
        job.assert_not_called()


if __name__ == "__main__":
    absltest.main()
