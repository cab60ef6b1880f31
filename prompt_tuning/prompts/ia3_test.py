# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.models import models, network
from prompt_tuning.prompts import ia3

jax.config.update("jax_numpy_rank_promotion", "raise")

H, HEADS, HEAD_DIM, MLP = 8, 2, 3, 12
CONFIG = network.T5Config(
    vocab_size=16,
    emb_dim=H,
    num_heads=HEADS,
    head_dim=HEAD_DIM,
    mlp_dim=MLP,
    num_encoder_layers=1,
    num_decoder_layers=1,
    dtype="float32",
)
BATCH = {
    "encoder_input_tokens": np.array([[5, 6, 1], [8, 1, 0]], np.int32),
    "decoder_input_tokens": np.array([[0, 4], [0, 0]], np.int32),
    "decoder_target_tokens": np.array([[4, 1], [1, 0]], np.int32),
}
ATTENTIONS = (
    "encoder/layers_0/attention",
    "decoder/layers_0/self_attention",
    "decoder/layers_0/encoder_decoder_attention",
)
SHAPES = {
    **{f"{a}/{c}_conv/ia3_scaling": (HEADS, HEAD_DIM) for a in ATTENTIONS for c in "kv"},
    "encoder/layers_0/mlp/intermediate_conv/ia3_scaling": (MLP,),
    "decoder/layers_0/mlp/intermediate_conv/ia3_scaling": (MLP,),
}


@functools.cache
def params():
    module = ia3.IA3Transformer(CONFIG)
    variables = jax.jit(module.init)(jax.random.key(0), *BATCH.values())
    return traverse_util.flatten_dict(variables["params"], sep="/")


@functools.partial(jax.jit, static_argnums=0)
def apply(module, flat):
    variables = {"params": traverse_util.unflatten_dict(flat, sep="/")}
    return module.apply(variables, *BATCH.values())


def scaled():
    random = np.random.RandomState(0)
    return {
        name: random.uniform(0.5, 2, size=shape).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def folded():
    """The plain network's parameters that do what the scales do."""
    plain = {name: value for name, value in params().items() if name not in SHAPES}
    for name, scaling in scaled().items():
        owner, conv, _ = name.rsplit("/", 2)
        dense = {"k_conv": "key", "v_conv": "value", "intermediate_conv": "wi_1"}[conv]
        kernel = f"{owner}/{dense}/kernel"
        plain[kernel] = plain[kernel] * scaling.reshape(1, -1)
    return plain


class IA3Test(parameterized.TestCase):
    def test_parameters_are_ones_beside_the_plain_models(self):
        plain = jax.eval_shape(network.Transformer(CONFIG).init, jax.random.key(0), *BATCH.values())
        names = traverse_util.flatten_dict(plain["params"], sep="/")
        added = {name: value for name, value in params().items() if name not in names}
        self.assertEqual({name: value.shape for name, value in added.items()}, SHAPES)
        for value in added.values():
            np.testing.assert_array_equal(value, np.ones(value.shape))

    def test_ones_are_the_plain_network(self):
        plain = {name: value for name, value in params().items() if name not in SHAPES}
        np.testing.assert_array_equal(
            apply(ia3.IA3Transformer(CONFIG), params()), apply(network.Transformer(CONFIG), plain)
        )

    def test_scanned_layers(self):
        scanned = ia3.IA3Transformer(CONFIG.replace(scan_layers=True))
        got = apply(scanned, {**params(), **scaled()})
        expected = apply(ia3.IA3Transformer(CONFIG), {**params(), **scaled()})
        np.testing.assert_allclose(got, expected, atol=1e-5)

    def test_scales_are_the_same_as_scaled_kernels(self):
        logits = apply(ia3.IA3Transformer(CONFIG), {**params(), **scaled()})
        np.testing.assert_allclose(logits, apply(network.Transformer(CONFIG), folded()), atol=1e-5)
        self.assertGreater(np.abs(logits - apply(ia3.IA3Transformer(CONFIG), params())).max(), 0.1)

    def test_decoding_uses_them(self):
        nested = traverse_util.unflatten_dict({**params(), **scaled()}, sep="/")
        flat = traverse_util.unflatten_dict(folded(), sep="/")
        scores = [
            jax.jit(models.EncoderDecoderModel(module, None, None, None).predict_batch_with_aux)(
                tree, BATCH
            )[1]["scores"]
            for module, tree in (
                (ia3.IA3Transformer(CONFIG), nested),
                (network.Transformer(CONFIG), flat),
            )
        ]
        np.testing.assert_allclose(*scores, rtol=1e-5)

    @parameterized.parameters(jnp.bfloat16, jnp.float32)
    def test_dtype_is_that_of_the_activations(self, dtype):
        x = jnp.ones((2, 3, HEADS, HEAD_DIM), dtype)
        module = ia3.IA3(axes=2, ia3_init=jax.nn.initializers.constant(2.0))
        variables = module.init(jax.random.key(0), x)
        self.assertEqual(variables["params"]["ia3_scaling"].dtype, jnp.float32)
        got = module.apply(variables, x)
        self.assertEqual(got.dtype, dtype)
        np.testing.assert_array_equal(got, 2 * x)


if __name__ == "__main__":
    absltest.main()
