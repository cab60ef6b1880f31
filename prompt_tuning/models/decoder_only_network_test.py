# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.models import decoder_only_network, network, parameter_axes

jax.config.update("jax_numpy_rank_promotion", "raise")

H, V = 8, 16
CONFIG = network.T5Config(
    vocab_size=V,
    emb_dim=H,
    num_heads=2,
    head_dim=3,
    mlp_dim=12,
    num_encoder_layers=1,
    num_decoder_layers=2,
    dtype="float32",
)
# Inputs (two and one token), then targets.
INPUTS = np.array([[0, 5, 6, 7, 1, 0], [0, 8, 9, 1, 0, 0]], np.int32)
TARGETS = np.array([[5, 6, 7, 1, 0, 0], [8, 9, 1, 0, 0, 0]], np.int32)
CAUSAL_ATTENTION = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]], np.int32)
NETWORK = decoder_only_network.DecoderOnly(CONFIG)


@functools.cache
def params():
    return jax.jit(NETWORK.init)(jax.random.key(0), INPUTS, TARGETS)


@jax.jit
def logits_of(inputs, targets, causal_attention=None):
    return NETWORK.apply(params(), inputs, targets, causal_attention)


def setUpModule():
    params()  # Outside of any trace.


def changed(tokens, column):
    """Another token there, in the first row."""
    tokens = tokens.copy()
    tokens[0, column] = 3
    return tokens


class DecoderOnlyTest(parameterized.TestCase):
    def test_names_of_parameters(self):
        names = traverse_util.flatten_dict(params()["params"], sep="/")
        self.assertTrue(all(name.startswith("decoder/") for name in names))
        layer = {n for n in names if n.startswith("decoder/layers_1/")}
        kernels = [f"self_attention/{k}" for k in ("query", "key", "value", "out")]
        kernels += [f"mlp/{k}" for k in ("wi_0", "wi_1", "wo")]
        norms = ("pre_self_attention_layer_norm", "pre_mlp_layer_norm")
        expected = {f"{k}/kernel" for k in kernels} | {f"{n}/scale" for n in norms}
        self.assertEqual(layer, {f"decoder/layers_1/{name}" for name in expected})
        self.assertIn("decoder/token_embedder/embedding", names)
        self.assertEqual(set(parameter_axes.logical_axes(names)), set(names))

    @parameterized.parameters(*range(1, 5))
    def test_a_position_depends_on_earlier_inputs_only(self, column):
        before = logits_of(INPUTS, TARGETS)
        after = logits_of(changed(INPUTS, column), TARGETS)
        difference = np.abs(before - after)[0].max(axis=1)
        np.testing.assert_array_equal(difference[:column], np.zeros(column))
        if column < 4:  # The fifth position has no target, so nothing attends to it.
            self.assertTrue((difference[column:4] > 1e-4).all())
        np.testing.assert_array_equal(before[1], after[1])

    def test_inputs_of_a_prefix_model_see_each_other(self):
        arguments = (TARGETS, CAUSAL_ATTENTION)
        before, after = logits_of(INPUTS, *arguments), logits_of(changed(INPUTS, 2), *arguments)
        difference = np.abs(before - after)[0].max(axis=1)
        self.assertTrue((difference[:4] > 1e-4).all())
        target = np.abs(before - logits_of(changed(INPUTS, 3), *arguments))[0].max(axis=1)
        np.testing.assert_array_equal(target[:3], np.zeros(3))

    def test_padding_changes_nothing(self):
        whole = logits_of(INPUTS, TARGETS)
        short = logits_of(INPUTS[1:, :3], TARGETS[1:, :3])
        np.testing.assert_allclose(whole[1:, :3], short, atol=1e-5)
        np.testing.assert_array_equal(whole[0, 5], np.zeros(V))

    @parameterized.parameters(False, True)
    def test_steps_from_unequal_positions_give_the_logits_of_the_whole(self, bidirectional):
        marks = CAUSAL_ATTENTION if bidirectional else None
        whole = np.asarray(logits_of(INPUTS, TARGETS, marks))
        cache = NETWORK.apply(
            params(), INPUTS * CAUSAL_ATTENTION, CAUSAL_ATTENTION, marks, method="prefill"
        )
        step = jax.jit(functools.partial(NETWORK.apply, method="decode_step"))
        index, rows = np.array([2, 1], np.int32), np.arange(2)
        for _ in range(2):
            logits, cache = step(params(), INPUTS[rows, index][:, None], cache, index)
            np.testing.assert_allclose(logits, whole[rows, index], atol=1e-5)
            index = index + 1

    def test_what_a_subclass_puts_before_the_tokens(self):
        class WithStart(decoder_only_network.Decoder):
            def embed(self, tokens, start=None):
                x = super().embed(tokens)
                start = jnp.broadcast_to(start, (x.shape[0], *start.shape))
                return jnp.concatenate([start, x], axis=1)

        module = decoder_only_network.DecoderOnly(CONFIG, WithStart)
        start = np.random.RandomState(0).normal(size=(2, H)).astype(np.float32)
        apply = jax.jit(functools.partial(module.apply, params(), INPUTS, TARGETS))
        logits = apply(start=start)
        self.assertEqual(logits.shape, (*INPUTS.shape, V))
        self.assertGreater(np.abs(logits - apply(start=-start)).max(), 0.01)
        none = np.zeros((0, H), np.float32)
        np.testing.assert_allclose(apply(start=none), logits_of(INPUTS, TARGETS), atol=1e-5)
        cache = module.apply(params(), INPUTS, TARGETS, start=start, method="prefill")
        self.assertEqual(cache[0][0].shape[1], INPUTS.shape[1] + 2)

    def test_dropout(self):
        config = network.T5Config(**{**CONFIG.__dict__, "dropout_rate": 0.5})
        module = decoder_only_network.DecoderOnly(config)
        one, other = (
            module.apply(
                params(),
                INPUTS,
                TARGETS,
                deterministic=False,
                rngs={"dropout": jax.random.key(seed)},
            )
            for seed in (0, 1)
        )
        self.assertGreater(np.abs(one - other).max(), 0.1)


if __name__ == "__main__":
    absltest.main()
