# SPDX-License-Identifier: Apache-2.0

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.models import network

jax.config.update("jax_numpy_rank_promotion", "raise")

_INPUTS = jnp.array([[5, 9, 7, 1, 0, 0], [3, 4, 6, 8, 2, 1]])
_TARGETS = jnp.array([[4, 6, 1, 0], [7, 3, 9, 1]])
_DECODER_INPUTS = jnp.array([[0, 4, 6, 1], [0, 7, 3, 9]])


def _config(**changes):
    sizes = {
        "vocab_size": 11,
        "emb_dim": 8,
        "num_heads": 2,
        "head_dim": 3,
        "mlp_dim": 10,
        "num_encoder_layers": 1,
        "num_decoder_layers": 2,
        "dtype": "float32",
    }
    return network.T5Config(**{**sizes, **changes})


class _LongerEncoder(network.Encoder):
    """Two constant positions before the tokens, and nobody may look ahead."""

    def embed(self, tokens, value=0.0):
        x, live = super().embed(tokens)
        front = jnp.full((x.shape[0], 2, x.shape[2]), value, x.dtype)
        return jnp.concatenate([front, x], axis=1), jnp.pad(
            live, ((0, 0), (2, 0)), constant_values=True
        )

    def attention_mask(self, tokens, live):
        mask = super().attention_mask(tokens, live)
        causal = jnp.tril(jnp.ones(mask.shape[2:], bool))
        return mask & causal[None, None]


class NetworkTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.module = network.Transformer(_config())
        init = jax.jit(cls.module.init)
        cls.variables = init(jax.random.PRNGKey(0), _INPUTS, _DECODER_INPUTS, _TARGETS)
        cls.forward = staticmethod(jax.jit(cls.module.apply))
        cls.encode = staticmethod(
            jax.jit(lambda variables, *args: cls.module.apply(variables, *args, method="encode"))
        )

    def test_parameters_are_plain_arrays_under_t5x_names(self):
        params = traverse_util.flatten_dict(self.variables["params"], sep="/")
        self.assertLen(params, 1 + 2 + 9 + 2 * 14 + 3)
        for name, shape in {
            "token_embedder/embedding": (11, 8),
            "encoder/relpos_bias/rel_embedding": (2, 32),
            "encoder/layers_0/attention/query/kernel": (8, 6),
            "encoder/layers_0/attention/out/kernel": (6, 8),
            "encoder/layers_0/pre_attention_layer_norm/scale": (8,),
            "encoder/encoder_norm/scale": (8,),
            "decoder/layers_1/encoder_decoder_attention/value/kernel": (8, 6),
            "decoder/layers_1/pre_cross_attention_layer_norm/scale": (8,),
            "decoder/layers_1/mlp/wo/kernel": (10, 8),
            "decoder/logits_dense/kernel": (8, 11),
        }.items():
            self.assertEqual(params[name].shape, shape, name)
        for leaf in params.values():
            self.assertIsInstance(leaf, jax.Array)
            self.assertEqual(leaf.dtype, jnp.float32)

    def test_padding_of_the_input_changes_nothing(self):
        short = self.forward(self.variables, _INPUTS[:1, :4], _DECODER_INPUTS[:1], _TARGETS[:1])
        padded = self.forward(self.variables, _INPUTS, _DECODER_INPUTS, _TARGETS)[:1]
        # The target of the last position is padding: it attends to all, padding included.
        np.testing.assert_allclose(short[:, :3], padded[:, :3], rtol=1e-5, atol=1e-5)

    def test_encoded_padding_is_zero(self):
        encoded, live = self.encode(self.variables, _INPUTS)
        np.testing.assert_array_equal(live, _INPUTS > 0)
        np.testing.assert_array_equal(encoded[0, 4:], 0)
        self.assertTrue((encoded[1] != 0).any(axis=-1).all())

    def test_a_target_does_not_see_later_ones(self):
        logits = self.forward(self.variables, _INPUTS, _DECODER_INPUTS, _TARGETS)
        changed = _DECODER_INPUTS.at[:, 3].set(10)
        other = self.forward(self.variables, _INPUTS, changed, _TARGETS)
        np.testing.assert_array_equal(logits[1, :3], other[1, :3])
        self.assertFalse((logits[1, 3] == other[1, 3]).all())

    def test_decoder_keeps_the_start_token_and_the_position_before_a_token(self):
        tokens = jnp.array([[0, 4, 0, 5, 0, 0], [0, 0, 0, 0, 0, 0]])
        np.testing.assert_array_equal(
            network.decoder_keep(tokens), [[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0]]
        )

    def test_logits_of_dropped_positions_are_zero(self):
        inputs = jnp.array([[0, 4, 1, 0, 0], [0, 7, 3, 9, 1]])
        targets = jnp.array([[4, 1, 0, 0, 0], [7, 3, 9, 1, 0]])
        logits = self.forward(self.variables, _INPUTS, inputs, targets)
        np.testing.assert_array_equal(logits[0, 3:], 0)
        self.assertTrue((logits[0, :3] != 0).any(axis=-1).all())

    @parameterized.parameters((3, tuple), (8, jax.Array))
    def test_stepwise_decoding_equals_all_positions_at_once(self, head_dim, memory_type):
        module = network.Transformer(_config(head_dim=head_dim))
        variables = jax.jit(module.init)(jax.random.key(0), _INPUTS, _DECODER_INPUTS, _TARGETS)
        encoded, live = module.apply(variables, _INPUTS, method="encode")
        full = module.apply(variables, _INPUTS, _DECODER_INPUTS, jnp.ones_like(_TARGETS))
        cross = module.apply(variables, encoded, 4, method="cross_memory")
        for memory in cross:
            self.assertIsInstance(memory, memory_type)

        @jax.jit
        def step(tokens, cache):
            return module.apply(variables, tokens, cache, cross, live, method="decode_step")

        cache = network.init_cache(module.config, 2, 4)
        for position in range(4):
            logits, cache = step(_DECODER_INPUTS[:, position : position + 1], cache)
            np.testing.assert_allclose(logits, full[:, position], rtol=1e-5, atol=1e-5)
        self.assertEqual(int(cache["index"]), 4)

    def test_many_decoder_rows_read_one_encoded_row(self):
        encoded, live = self.encode(self.variables, _INPUTS)
        rows = [jnp.repeat(x, 3, axis=0) for x in (_DECODER_INPUTS, _TARGETS)]
        rows[0] = rows[0].at[1, 1].set(8)

        @jax.jit
        def decode(encoded, live):
            return self.module.apply(self.variables, encoded, live, *rows, method="decode")

        copied = decode(jnp.repeat(encoded, 3, axis=0), jnp.repeat(live, 3, axis=0))
        np.testing.assert_allclose(decode(encoded, live), copied, rtol=1e-5, atol=1e-5)

    def test_the_hooks_of_the_encoder(self):
        module = network.Transformer(_config(), _LongerEncoder)

        @jax.jit
        def encode(value, tokens):
            return module.apply(self.variables, tokens, method="encode", value=value)

        encoded, live = encode(1.0, _INPUTS)
        self.assertEqual(encoded.shape, (2, 8, 8))
        np.testing.assert_array_equal(live.sum(axis=1), [6, 8])
        # Looking back only, the first token does not see what follows it; the value it sees.
        changed = _INPUTS.at[1, 1:].set(9)
        np.testing.assert_array_equal(encode(1.0, changed)[0][1, :3], encoded[1, :3])
        self.assertFalse((encode(2.0, _INPUTS)[0][1, 2] == encoded[1, 2]).all())

    @parameterized.parameters(({}, network.Encoder), ({"scan_layers": True}, _LongerEncoder))
    def test_added_positions_change_nothing(self, changes, encoder):
        """As on a GPU, where the encoder runs on a multiple of 8 positions."""

        def run(multiple):
            config = _config(length_multiple=multiple, **changes)
            module = network.Transformer(config, encoder)

            @jax.jit
            def loss(params, value):
                variables = {"params": params}
                extra = {"value": value} if encoder is _LongerEncoder else {}
                encoded, live = module.apply(variables, _INPUTS, method="encode", **extra)
                logits = module.apply(variables, _INPUTS, _DECODER_INPUTS, _TARGETS, **extra)
                return jnp.mean(jax.nn.logsumexp(logits, axis=-1)), (encoded, live, logits)

            return jax.grad(loss, has_aux=True)(self.variables["params"], 1.5)

        plain, added = run(1), run(16)
        self.assertGreater(jnp.abs(plain[0]["token_embedder"]["embedding"]).max(), 1e-3)
        for ours, theirs in zip(jax.tree.leaves(added), jax.tree.leaves(plain), strict=True):
            self.assertEqual(ours.shape, theirs.shape)
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)

    def test_positions_are_added_on_a_gpu_alone(self):
        self.assertEqual(_config().position_multiple, 1)
        with mock.patch.object(jax, "default_backend", lambda: "gpu"):
            self.assertEqual(_config().position_multiple, 8)
            self.assertEqual(_config(length_multiple=2).position_multiple, 2)

    def test_an_unknown_encoder_argument_is_refused(self):
        with self.assertRaisesRegex(TypeError, "value"):
            self.module.apply(self.variables, _INPUTS, method="encode", value=1.0)

    def test_dropout_needs_a_key_and_changes_the_result(self):
        module = network.Transformer(_config(dropout_rate=0.3))

        @jax.jit
        def forward(rng):
            return module.apply(
                self.variables,
                _INPUTS,
                _DECODER_INPUTS,
                _TARGETS,
                deterministic=False,
                rngs={"dropout": rng},
            )

        first, again, other = (forward(jax.random.PRNGKey(k)) for k in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        self.assertFalse((first == other).all())
        without = self.forward(self.variables, _INPUTS, _DECODER_INPUTS, _TARGETS)
        self.assertFalse((first == without).all())

    def test_tied_logits_come_from_the_token_table(self):
        tied = network.Transformer(_config(logits_via_embedding=True))
        params = dict(self.variables["params"])
        decoder = {k: v for k, v in params["decoder"].items() if k != "logits_dense"}
        tied_params = {"params": params | {"decoder": decoder}}
        drawn = jax.eval_shape(tied.init, jax.random.key(0), _INPUTS, _DECODER_INPUTS, _TARGETS)
        self.assertEqual(jax.tree.structure(drawn), jax.tree.structure(tied_params))
        # An own head whose table is the scaled token table says the same.
        kernel = params["token_embedder"]["embedding"].T / np.sqrt(8).astype(np.float32)
        untied_params = {
            "params": params | {"decoder": decoder | {"logits_dense": {"kernel": kernel}}}
        }
        args = (_INPUTS, _DECODER_INPUTS, _TARGETS)
        got = jax.jit(tied.apply)(tied_params, *args)
        self.assertEqual(got.dtype, jnp.float32)
        np.testing.assert_allclose(got, self.forward(untied_params, *args), rtol=1e-5, atol=1e-6)

    def test_a_single_activation_has_one_kernel(self):
        module = network.Transformer(_config(mlp_activations=("relu",)))
        drawn = jax.eval_shape(module.init, jax.random.key(0), _INPUTS, _DECODER_INPUTS, _TARGETS)
        mlp = drawn["params"]["encoder"]["layers_0"]["mlp"]
        self.assertEqual(
            {name: leaf["kernel"].shape for name, leaf in mlp.items()},
            {"wi": (8, 10), "wo": (10, 8)},
        )

    def test_logits_are_float32_whatever_the_activations(self):
        module = network.Transformer(_config(dtype="bfloat16"))
        encoded, _ = jax.eval_shape(
            lambda v: module.apply(v, _INPUTS, method="encode"), self.variables
        )
        logits = jax.eval_shape(
            lambda v: module.apply(v, _INPUTS, _DECODER_INPUTS, _TARGETS), self.variables
        )
        self.assertEqual(encoded.dtype, jnp.bfloat16)
        self.assertEqual(logits.dtype, jnp.float32)


if __name__ == "__main__":
    absltest.main()
