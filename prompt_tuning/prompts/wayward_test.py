# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.models import models, network
from prompt_tuning.prompts import combine, initializers, prompt, prompted_network, wayward

jax.config.update("jax_numpy_rank_promotion", "raise")

P, H = 3, 8
CONFIG = network.T5Config(
    vocab_size=16,
    emb_dim=H,
    num_heads=2,
    head_dim=4,
    mlp_dim=12,
    num_encoder_layers=1,
    num_decoder_layers=1,
    dtype="float32",
)
BATCH = {
    "encoder_input_tokens": np.array([[5, 6, 1], [8, 1, 0]], np.int32),
    "decoder_input_tokens": np.array([[0, 4], [0, 0]], np.int32),
    "decoder_target_tokens": np.array([[4, 1], [1, 0]], np.int32),
}
TEXT = np.random.RandomState(1).normal(size=(P, H)).astype(np.float32)
MODULE = prompted_network.PromptedTransformer(
    CONFIG,
    prompt_factory=lambda: combine.Prompt(prompt.Prompt(P, jax.nn.initializers.normal(1.0))),
)


class Words:
    """A vocabulary of words."""

    def encode(self, text):
        return [len(word) for word in text.split()]


@functools.cache
def params():
    return jax.jit(MODULE.init)(jax.random.key(0), *BATCH.values())["params"]


def make(**settings):
    return wayward.WaywardPromptEncoderDecoderModel(
        MODULE, None, None, None, z_loss=1e-4, **{"discrete_prompt": TEXT, **settings}
    )


def own_prompt():
    return np.asarray(params()["encoder"]["prompt"]["prompt"]["prompt"])


class DistanceTest(absltest.TestCase):
    def test_squared_l2(self):
        np.testing.assert_array_equal(wayward.squared_l2(np.array([[3.0, 4.0], [0, 1]])), [25, 1])

    def test_distance_is_averaged_over_positions(self):
        x, y = np.array([[3.0, 4.0], [1, 1]]), np.array([[0.0, 0.0], [1, 0]])
        self.assertEqual(wayward.squared_l2_distance(x, y), (25 + 1) / 2)


class GinFunctionsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("say {} or {}", ("yes", "no"), 4),
        ("say {a} or {b}", {"a": "yes", "b": "oh no"}, 5),
        ("{} stays {}", None, 3),
    )
    def test_encode_string(self, text, values, pieces):
        self.assertEqual(wayward.length(wayward.encode_string(text, Words(), values)), pieces)
        self.assertLen(wayward.interpolate(text, values).split(), pieces)

    def test_execute_initializer(self):
        got = wayward.execute_initializer(initializers.from_array(TEXT), None, [P, H])
        np.testing.assert_array_equal(got, TEXT)


class WaywardModelTest(parameterized.TestCase):
    def test_the_distance_is_a_term_of_the_batch(self):
        self.assertFalse(make().rows_are_separate)

    def test_loss_and_gradient(self):
        plain = models.EncoderDecoderModel(MODULE, None, None, None, z_loss=1e-4)

        def both(params):
            return tuple(
                jax.value_and_grad(model.loss_fn, has_aux=True)(params, BATCH)
                for model in (make(gamma=0.5), plain)
            )

        ((loss, metrics), gradient), ((plain_loss, plain_metrics), plain_gradient) = jax.jit(both)(
            params()
        )
        distance = ((own_prompt() - TEXT) ** 2).sum() / P
        np.testing.assert_allclose(loss, plain_loss + 0.5 * distance, rtol=1e-6)
        self.assertEqual(
            {k: float(v) for k, v in metrics.items()},
            {k: float(v) for k, v in plain_metrics.items()},
        )
        added = jax.tree.map(jnp.subtract, gradient, plain_gradient)
        pull = added["encoder"]["prompt"]["prompt"].pop("prompt")
        np.testing.assert_allclose(pull, (own_prompt() - TEXT) / P, atol=1e-4)
        for leaf in jax.tree.leaves(added):
            np.testing.assert_allclose(leaf, np.zeros(leaf.shape), atol=1e-5)

    def test_other_distance(self):
        model = make(gamma=2.0, distance=lambda x, y: jnp.abs(x - y).max())
        loss, metrics = jax.jit(model.loss_fn)(params(), BATCH)
        expected = 2 * np.abs(own_prompt() - TEXT).max()
        np.testing.assert_allclose(loss - metrics["loss"], expected, rtol=1e-4)

    def test_path_that_is_not_there(self):
        with self.assertRaisesRegex(ValueError, "'encoder/prompt' is not there"):
            make(prompt_path="encoder/prompt").loss_fn(params(), BATCH)

    def test_text_of_another_length(self):
        with self.assertRaisesRegex(ValueError, r"\(3, 8\); it must have the shape \(2, 8\)"):
            make(discrete_prompt=TEXT[:2]).loss_fn(params(), BATCH)

    def test_text_that_is_no_prompt(self):
        for text, message in ((None, "is None"), (TEXT[0], r"of shape \(8,\)")):
            with self.assertRaisesRegex(ValueError, message):
                make(discrete_prompt=text)


if __name__ == "__main__":
    absltest.main()
