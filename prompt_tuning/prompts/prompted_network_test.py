# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.models import network
from prompt_tuning.prompts import combine, masks, prompt, prompted_network

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
TOKENS = np.array([[5, 6, 7, 1], [8, 1, 0, 0]], np.int32)
TARGETS = np.array([[4, 1], [1, 0]], np.int32)
INPUTS = np.array([[0, 4], [0, 1]], np.int32)


@functools.cache
def make_model(placement=combine.prefix_prompt, config=CONFIG):
    def make_prompt():
        return combine.Prompt(prompt.Prompt(P, jax.nn.initializers.normal(1.0)), placement)

    return prompted_network.PromptedTransformer(config, prompt_factory=make_prompt)


def shapes(model):
    return jax.eval_shape(model.init, jax.random.key(0), TOKENS, INPUTS, TARGETS)


@functools.cache
def init(model):
    return jax.jit(model.init)(jax.random.key(0), TOKENS, INPUTS, TARGETS)


@functools.partial(jax.jit, static_argnums=0)
def encode(model, variables, tokens=TOKENS, **extra):
    return model.apply(variables, tokens, method="encode", **extra)


class ParameterTest(absltest.TestCase):
    def test_prompt_is_the_only_parameter_beside_the_plain_models(self):
        model = make_model()
        plain = shapes(network.Transformer(CONFIG))
        names = traverse_util.flatten_dict(shapes(model)["params"], sep="/")
        plain_names = traverse_util.flatten_dict(plain["params"], sep="/")
        self.assertEqual(set(names) - set(plain_names), {"encoder/prompt/prompt/prompt"})
        self.assertEmpty(set(plain_names) - set(names))
        self.assertEqual(names["encoder/prompt/prompt/prompt"].shape, (P, H))

    def test_prompt_module_may_be_made_before_the_model(self):
        made = combine.Prompt(prompt.Prompt(P))
        factory = functools.partial(prompted_network.PromptedEncoder, prompt=made)
        model = network.Transformer(CONFIG, encoder_factory=factory)
        params = shapes(model)["params"]
        self.assertEqual(params["encoder"]["prompt"]["prompt"]["prompt"].shape, (P, H))

    def test_inference_only_prompt_has_no_parameter(self):
        def constant():
            init_fn = jax.nn.initializers.ones
            return combine.Prompt(prompt.InferenceOnlyPrompt(P, H, init_fn))

        model = prompted_network.PromptedTransformer(CONFIG, prompt_factory=constant)
        self.assertNotIn("prompt", shapes(model)["params"]["encoder"])

    def test_prompt_is_float32_in_a_bfloat16_model(self):
        config = network.T5Config(**{**CONFIG.__dict__, "dtype": "bfloat16"})
        model = make_model(config=config)
        value = init(model)["params"]["encoder"]["prompt"]["prompt"]["prompt"]
        self.assertEqual(value.dtype, jnp.float32)
        encoded, _ = encode(model, init(model))
        self.assertEqual(encoded.dtype, jnp.bfloat16)

    def test_models_with_the_same_prompt_are_equal(self):
        def factory():
            return combine.Prompt(prompt.Prompt(P))

        first = prompted_network.PromptedTransformer(CONFIG, prompt_factory=factory)
        second = prompted_network.PromptedTransformer(CONFIG, prompt_factory=factory)
        self.assertEqual(first, second)
        self.assertEqual(hash(first), hash(second))

    def test_every_row_of_the_prompt_gets_a_gradient(self):
        model = make_model()

        def loss(variables):
            return (model.apply(variables, TOKENS, INPUTS, TARGETS) ** 2).sum()

        gradient = jax.jit(jax.grad(loss))(init(model))["params"]
        gradient = gradient["encoder"]["prompt"]["prompt"]["prompt"]
        self.assertGreater(np.abs(gradient).max(axis=1).min(), 0)


class PlacementTest(parameterized.TestCase):
    @parameterized.parameters(
        (combine.prefix_prompt, [[1] * 7, [1] * 5 + [0] * 2]),
        (combine.prefix_prompt_after_bos, [[1] * 7, [1] * 5 + [0] * 2]),
        (combine.suffix_prompt, [[1] * 7, [1] * 5 + [0] * 2]),
    )
    def test_prompt_is_live_and_padding_is_not(self, placement, live):
        model = make_model(placement)
        encoded, got = encode(model, init(model))
        self.assertEqual(encoded.shape, (2, P + 4, H))
        np.testing.assert_array_equal(got, live)
        np.testing.assert_array_equal(encoded[1, 5:], np.zeros((2, H)))

    def test_mask_is_upstreams(self):
        model = make_model()
        _, live = encode(model, init(model))
        mask = model.apply(
            init(model), TOKENS, live, method=lambda m, *a: m.encoder.attention_mask(*a)
        )
        np.testing.assert_array_equal(mask, masks.create_prompt_encoder_mask(P)(TOKENS))

    def test_padding_changes_nothing(self):
        model = make_model(combine.suffix_prompt)
        encoded, _ = encode(model, init(model))
        shorter, _ = encode(model, init(model), TOKENS[1:, :2])
        np.testing.assert_allclose(encoded[1:, : P + 2], shorter, atol=1e-5)


class ExplicitPromptTest(parameterized.TestCase):
    @parameterized.parameters(
        combine.prefix_prompt, combine.prefix_prompt_after_bos, combine.suffix_prompt
    )
    def test_own_values_given_explicitly(self, placement):
        model = make_model(placement)
        value = init(model)["params"]["encoder"]["prompt"]["prompt"]["prompt"]
        for given in (value, jnp.stack([value, value])):
            for got, expected in zip(
                encode(model, init(model), prompt=given), encode(model, init(model)), strict=True
            ):
                np.testing.assert_array_equal(got, expected)

    def test_length_zero_is_the_plain_model(self):
        model = make_model()
        plain = network.Transformer(CONFIG)
        params = jax.tree.map(lambda x: x, init(model)["params"])
        params["encoder"].pop("prompt")
        for got, expected in zip(
            encode(model, init(model), prompt=jnp.zeros((0, H))),
            encode(plain, {"params": params}),
            strict=True,
        ):
            np.testing.assert_array_equal(got, expected)

    def test_the_parameter_is_not_needed(self):
        model = make_model()
        variables = {"params": {**init(model)["params"]}}
        variables["params"]["encoder"] = {**variables["params"]["encoder"]}
        del variables["params"]["encoder"]["prompt"]
        encoded, _ = encode(model, variables, prompt=jnp.ones((P, H)))
        self.assertEqual(encoded.shape, (2, P + 4, H))

    def test_one_prompt_for_each_example(self):
        model = make_model()
        prompts = np.random.RandomState(0).normal(size=(2, P, H)).astype(np.float32)
        together, _ = encode(model, init(model), prompt=prompts)
        for row in range(2):
            alone, _ = encode(model, init(model), TOKENS[row : row + 1], prompt=prompts[row])
            np.testing.assert_allclose(together[row], alone[0], atol=1e-5)

    @parameterized.parameters(
        (combine.prefix_prompt, [False, False, True]),
        (combine.prefix_prompt_after_bos, [True, False, False]),
        (combine.suffix_prompt, [False, True, False]),
        (combine.suffix_prompt, [False, False, False]),
    )
    def test_prompts_of_unequal_length_share_a_batch(self, placement, second):
        model = make_model(placement)
        prompts = np.random.RandomState(0).normal(size=(2, P, H)).astype(np.float32)
        prompt_live = np.array([[True] * P, second])
        encoded, live = encode(model, init(model), prompt=prompts, prompt_live=prompt_live)
        own = prompts[1, prompt_live[1]]
        alone, alone_live = encode(model, init(model), TOKENS[1:], prompt=own)
        np.testing.assert_allclose(encoded[1, live[1]], alone[0, alone_live[0]], atol=1e-5)
        full, _ = encode(model, init(model), prompt=prompts)
        np.testing.assert_allclose(encoded[0], full[0], atol=1e-5)

    @parameterized.parameters(((P, H + 1),), ((3, P, H),), ((H,),))
    def test_prompt_that_does_not_fit(self, shape):
        model = make_model()
        with self.assertRaisesRegex(ValueError, r"accepted are \(P, 8\) and \(2, P, 8\)"):
            encode(model, init(model), prompt=jnp.zeros(shape))

    def test_prompt_live_that_does_not_fit(self):
        model = make_model()
        with self.assertRaisesRegex(ValueError, r"\(2, 4\).*\(2, 3\)"):
            encode(model, init(model), prompt=jnp.zeros((P, H)), prompt_live=jnp.ones((2, 4), bool))

    def test_prompt_live_without_prompt(self):
        model = make_model()
        with self.assertRaisesRegex(ValueError, "without prompt"):
            encode(model, init(model), prompt_live=jnp.ones((2, P), bool))


if __name__ == "__main__":
    absltest.main()
