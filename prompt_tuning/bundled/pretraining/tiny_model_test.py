# SPDX-License-Identifier: Apache-2.0
import jax
import numpy as np
from absl.testing import absltest

from prompt_tuning.bundled import bundled
from prompt_tuning.bundled.pretraining import encoded_text, recipe, tiny_model
from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.models import network

jax.config.update("jax_numpy_rank_promotion", "raise")


class TinyModelTest(absltest.TestCase):
    def test_the_bundled_checkpoint_is_a_result_of_the_recipe(self):
        checkpoint = t5x_format.open_checkpoint(bundled.checkpoint_path())
        self.assertEqual(checkpoint.step, bundled.STEP)
        self.assertEqual(checkpoint.step, recipe.Recipe().steps)
        fresh = tiny_model.initial_params(network.Transformer(tiny_model.config()), seed=0)
        self.assertEqual(
            {name: (leaf.shape, str(leaf.dtype)) for name, leaf in checkpoint.target().items()},
            {name: (value.shape, "bfloat16") for name, value in fresh.items()},
        )

    def test_initial_params_depend_on_the_seed_alone(self):
        module = network.Transformer(tiny_model.config())
        first, again, other = (tiny_model.initial_params(module, seed) for seed in (0, 0, 1))
        name = "decoder/layers_1/self_attention/query/kernel"
        np.testing.assert_array_equal(first[name], again[name])
        self.assertTrue((first[name] != other[name]).any())

    def test_checkpoint_params_are_float32_and_the_latest_of_a_model_directory(self):
        folder = self.create_tempdir().full_path
        for step in (1, 2):
            value = np.full((2, 3), step, np.float32)
            t5x_format.write_checkpoint(folder, step, {"a/b": value}, save_dtype="bfloat16")
        params = tiny_model.checkpoint_params(folder)
        np.testing.assert_array_equal(params["a/b"], np.full((2, 3), 2.0))
        self.assertEqual(params["a/b"].dtype, np.float32)

    def test_the_vocabulary_ends_a_search(self):
        model = tiny_model.encoder_decoder(network.Transformer(tiny_model.config()))
        self.assertEqual(model.eos_id, encoded_text.vocabulary().eos_id)


if __name__ == "__main__":
    absltest.main()
