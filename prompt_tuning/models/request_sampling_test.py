# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.models import decoding, models, network, request_sampling

jax.config.update("jax_numpy_rank_promotion", "raise")

CONFIG = network.T5Config(
    vocab_size=16,
    emb_dim=8,
    num_heads=2,
    head_dim=4,
    mlp_dim=16,
    num_encoder_layers=1,
    num_decoder_layers=1,
    dtype="float32",
)
L = 6
INPUTS = jnp.array([[5, 2, 3, 1], [4, 1, 0, 0], [5, 2, 3, 1]], jnp.int32)


class SampleTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = models.EncoderDecoderModel(network.Transformer(CONFIG), None, None, None)
        shapes = {"encoder_input_tokens": (1, 2), "decoder_input_tokens": (1, 2)}
        cls.params = cls.model.get_initial_variables(jax.random.key(0), shapes)["params"]

    def sample(self, inputs, keys, settings, num_decodes=1):
        function = functools.partial(
            request_sampling.sample,
            self.model,
            length=L,
            settings=settings,
            num_decodes=num_decodes,
        )
        return jax.jit(function)(self.params, inputs, keys)

    @parameterized.parameters(
        (request_sampling.Sampling(), 1),
        (request_sampling.Sampling(temperature=0.5, topk=3), 1),
        (request_sampling.Sampling(topp=0.8), 3),
    )
    def test_each_row_is_what_it_is_alone(self, settings, num_decodes):
        keys = jax.random.split(jax.random.PRNGKey(3), 3)
        tokens, scores = self.sample(INPUTS, keys, settings, num_decodes)
        self.assertEqual(tokens.shape, (3, num_decodes, L))
        sampler = functools.partial(
            decoding.temperature_sample,
            temperature=settings.temperature,
            topk=settings.topk,
            topp=settings.topp,
        )
        model = models.EncoderDecoderModel(self.model.module, None, None, None, decode_fn=sampler)
        alone = jax.jit(
            functools.partial(
                model.predict_batch_with_aux, num_decodes=num_decodes, return_all_decodes=True
            )
        )
        for row in range(3):
            batch = {
                "encoder_input_tokens": INPUTS[row : row + 1],
                "decoder_input_tokens": jnp.zeros((1, L), jnp.int32),
            }
            expected, aux = alone(self.params, batch, rng=keys[row])
            np.testing.assert_array_equal(tokens[row], expected[0])
            np.testing.assert_allclose(scores[row], aux["scores"][0], atol=1e-4)

    def test_the_key_and_not_the_place_decides(self):
        keys = jax.random.split(jax.random.key(1), 2)
        tokens, _ = self.sample(INPUTS, keys[np.array([0, 1, 0])], request_sampling.Sampling())
        np.testing.assert_array_equal(tokens[0], tokens[2])
        other, _ = self.sample(INPUTS, keys[np.array([0, 0, 1])], request_sampling.Sampling())
        np.testing.assert_array_equal(other[0], tokens[0])
        self.assertTrue(np.any(other[2] != tokens[2]))

    @parameterized.parameters(
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"topp": 1.5}, "topp 1.5"),
        ({"topk": 2, "topp": 0.5}, "at most one"),
    )
    def test_settings_that_make_no_sense(self, settings, message):
        with self.assertRaisesRegex(ValueError, message):
            request_sampling.Sampling(**settings)


if __name__ == "__main__":
    absltest.main()
