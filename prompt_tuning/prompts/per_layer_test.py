# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.models import network
from prompt_tuning.prompts import combine, per_layer, prompt, prompted_network

jax.config.update("jax_numpy_rank_promotion", "raise")

P, H, LAYERS = 2, 8, 2
TOKENS = np.array([[5, 6, 1], [8, 1, 0]], np.int32)
TARGETS = np.array([[4, 1], [1, 0]], np.int32)


@functools.cache
def make_model(placement, dtype="float32", layer_length=P, prompt_dtype=jnp.float32):
    config = network.T5Config(
        vocab_size=16,
        emb_dim=H,
        num_heads=2,
        head_dim=4,
        mlp_dim=12,
        num_encoder_layers=LAYERS,
        num_decoder_layers=1,
        dtype=dtype,
    )
    normal = jax.nn.initializers.normal(1.0)

    def make_prompt(length=P, combine_fn=combine.prefix_prompt):
        return combine.Prompt(prompt.Prompt(length, normal, dtype=prompt_dtype), combine_fn)

    encoder_class = functools.partial(
        per_layer.PerLayerPromptedEncoder,
        layer_prompt_factory=functools.partial(make_prompt, layer_length, placement),
    )
    return prompted_network.PromptedTransformer(
        config, prompt_factory=make_prompt, encoder_class=encoder_class
    )


@functools.cache
def init(model):
    return jax.jit(model.init)(jax.random.key(0), TOKENS, TARGETS, TARGETS)


@functools.partial(jax.jit, static_argnums=0)
def encode(model, variables, tokens=TOKENS):
    return model.apply(variables, tokens, method="encode")


def layer_inputs(model):
    """What the norm of each layer reads."""
    _, state = model.apply(
        init(model),
        TOKENS,
        method="encode",
        capture_intermediates=lambda module, _: module.name == "prompt",
        mutable="intermediates",
    )
    found = state["intermediates"]["encoder"]
    return [found[f"layers_{i}"]["prompt"]["__call__"][0] for i in range(LAYERS)]


class PlacementTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        random = np.random.RandomState(0)
        self.prompt = random.normal(size=(2, P, H)).astype(np.float32)
        self.x_embed = random.normal(size=(2, 5, H)).astype(np.float32)

    @parameterized.parameters((per_layer.replace_prompt, 0), (per_layer.add_prompt, 1))
    def test_first_positions(self, placement, kept):
        got = placement(self.prompt, self.x_embed, None)
        expected = self.x_embed.copy()
        expected[:, :P] = kept * expected[:, :P] + self.prompt
        np.testing.assert_array_equal(got, expected)

    @parameterized.parameters(per_layer.replace_prompt, per_layer.add_prompt)
    def test_float32_prompt_makes_the_stream_float32(self, placement):
        x_embed = jnp.asarray(self.x_embed, jnp.bfloat16)
        self.assertEqual(placement(self.prompt, x_embed, None).dtype, jnp.float32)
        prompt_bfloat16 = jnp.asarray(self.prompt, jnp.bfloat16)
        self.assertEqual(placement(prompt_bfloat16, x_embed, None).dtype, jnp.bfloat16)

    @parameterized.parameters(per_layer.replace_prompt, per_layer.add_prompt)
    def test_prompt_longer_than_the_sequence(self, placement):
        with self.assertRaisesRegex(ValueError, "2 positions.*only 1; give PER_LAYER_PROMPT"):
            placement(self.prompt, self.x_embed[:, :1], None)


class PerLayerPromptedEncoderTest(parameterized.TestCase):
    def test_parameters(self):
        names = traverse_util.flatten_dict(
            init(make_model(per_layer.add_prompt))["params"], sep="/"
        )
        prompts = {name: value.shape for name, value in names.items() if "/prompt/" in name}
        paths = ("encoder", "encoder/layers_0", "encoder/layers_1")
        self.assertEqual(prompts, {f"{path}/prompt/prompt/prompt": (P, H) for path in paths})

    def test_each_layer_reads_its_prompt(self):
        model = make_model(per_layer.replace_prompt)
        encoder = init(model)["params"]["encoder"]
        for i, x in enumerate(layer_inputs(model)):
            own = encoder[f"layers_{i}"]["prompt"]["prompt"]["prompt"]
            np.testing.assert_array_equal(x[:, :P], np.stack([own, own]))

    def test_prompts_of_zeros_added_change_nothing(self):
        model = make_model(per_layer.add_prompt)
        params = traverse_util.flatten_dict(init(model)["params"], sep="/")
        zeroed = {
            name: value * 0 if "layers" in name and "/prompt/" in name else value
            for name, value in params.items()
        }
        plain = prompted_network.PromptedTransformer(
            model.config, prompt_factory=model.prompt_factory
        )
        variables = {"params": traverse_util.unflatten_dict(zeroed, sep="/")}
        np.testing.assert_array_equal(encode(model, variables)[0], encode(plain, variables)[0])

    def test_padding_changes_nothing(self):
        model = make_model(per_layer.replace_prompt)
        encoded, live = encode(model, init(model))
        np.testing.assert_array_equal(live, [[1] * 5, [1] * 4 + [0]])
        alone, _ = encode(model, init(model), TOKENS[1:, :2])
        np.testing.assert_allclose(encoded[1:, : P + 2], alone, atol=1e-5)

    @parameterized.parameters((jnp.float32, jnp.float32), (jnp.bfloat16, jnp.bfloat16))
    def test_residual_stream_of_a_bfloat16_model(self, prompt_dtype, stream):
        model = make_model(per_layer.add_prompt, "bfloat16", prompt_dtype=prompt_dtype)
        self.assertEqual({x.dtype for x in layer_inputs(model)}, {jnp.dtype(stream)})
        encoded, _ = encode(model, init(model))
        self.assertEqual(encoded.dtype, jnp.bfloat16)

    def test_scanned_layers(self):
        """A prompt of each layer's own, and a stream wider than what enters it."""
        plain = make_model(per_layer.add_prompt, "bfloat16")
        scanned = plain.clone(config=plain.config.replace(scan_layers=True))
        expected, _ = encode(plain, init(plain))
        np.testing.assert_array_equal(encode(scanned, init(plain))[0], expected)

    def test_one_array_cannot_replace_the_prompts(self):
        model = make_model(per_layer.add_prompt)
        with self.assertRaisesRegex(ValueError, "plain architecture"):
            model.apply(init(model), TOKENS, method="encode", prompt=jnp.zeros((0, H)))

    def test_layer_prompt_that_does_not_fit(self):
        model = make_model(per_layer.replace_prompt, layer_length=6)
        with self.assertRaisesRegex(ValueError, "6 positions.*only 5"):
            init(model)


if __name__ == "__main__":
    absltest.main()
