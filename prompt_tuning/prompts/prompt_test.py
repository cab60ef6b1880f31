# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning import prompts
from prompt_tuning.prompts import initializers, prompt

jax.config.update("jax_numpy_rank_promotion", "raise")

B, T, P, H = 3, 5, 4, 6
TOKENS = jnp.ones((B, T), jnp.int32)
EMBEDDED = jnp.zeros((B, T, H), jnp.float32)


class ExpandToBatchTest(parameterized.TestCase):
    @parameterized.parameters(((P, H),), ((P,),), ((),))
    def test_repeats_for_each_example(self, shape):
        x = np.random.RandomState(0).normal(size=shape).astype(np.float32)
        expanded = jax.jit(prompt.expand_to_batch)(x, TOKENS)
        self.assertEqual(expanded.shape, (B, *shape))
        for row in expanded:
            np.testing.assert_array_equal(row, x)


class PromptTest(parameterized.TestCase):
    def test_parameter_has_length_and_width(self):
        module = prompt.Prompt(length=P)
        value, variables = module.init_with_output(jax.random.key(0), TOKENS, EMBEDDED)
        self.assertEqual(list(variables["params"]), ["prompt"])
        self.assertEqual(variables["params"]["prompt"].shape, (P, H))
        np.testing.assert_array_equal(value, variables["params"]["prompt"])

    def test_default_init_is_uniform_from_zero_to_a_hundredth(self):
        values = prompt.Prompt(length=200).init(jax.random.key(0), TOKENS, EMBEDDED)
        values = values["params"]["prompt"]
        self.assertGreaterEqual(values.min(), 0)
        self.assertLess(values.max(), 0.01)
        self.assertAlmostEqual(float(values.mean()), 0.005, delta=0.0005)

    def test_only_the_returned_prompt_has_the_activation_dtype(self):
        module = prompt.Prompt(length=P, dtype=jnp.bfloat16)
        value, variables = module.init_with_output(
            jax.random.key(0), TOKENS, EMBEDDED.astype(jnp.bfloat16)
        )
        self.assertEqual(value.dtype, jnp.bfloat16)
        self.assertEqual(variables["params"]["prompt"].dtype, jnp.float32)

    def test_parameter_is_float32_even_from_bfloat16_values(self):
        init = initializers.from_array(jnp.ones((P, H), jnp.bfloat16))
        variables = prompt.Prompt(P, init).init(jax.random.key(0), TOKENS, EMBEDDED)
        self.assertEqual(variables["params"]["prompt"].dtype, jnp.float32)

    def test_gradient_reaches_every_row(self):
        module = prompt.Prompt(length=P)
        variables = module.init(jax.random.key(0), TOKENS, EMBEDDED)
        gradient = jax.grad(lambda v: module.apply(v, TOKENS, EMBEDDED).sum())(variables)
        np.testing.assert_array_equal(gradient["params"]["prompt"], np.ones((P, H)))


class InferenceOnlyPromptTest(parameterized.TestCase):
    @parameterized.parameters(jnp.float32, jnp.bfloat16)
    def test_is_a_constant_without_parameters(self, dtype):
        array = np.arange(P * H, dtype=np.float32).reshape(P, H)
        module = prompt.InferenceOnlyPrompt(P, H, initializers.from_array(array), dtype)
        value, variables = module.init_with_output(jax.random.key(0), TOKENS, EMBEDDED)
        self.assertEqual(variables, {})
        self.assertEqual(value.dtype, dtype)
        np.testing.assert_array_equal(value, array)

    def test_uses_key_zero(self):
        init = initializers.uniform(0.5)
        module = prompt.InferenceOnlyPrompt(P, H, init)
        expected = init(jax.random.PRNGKey(0), (P, H))
        np.testing.assert_array_equal(module.apply({}, TOKENS, EMBEDDED), expected)


class PublicNamesTest(absltest.TestCase):
    def test_package_offers_what_it_lists(self):
        for name in prompts.__all__:
            self.assertTrue(hasattr(prompts, name), name)
        self.assertIs(prompts.Prompt, prompt.Prompt)


class LengthTest(absltest.TestCase):
    def test_negative_length_names_the_flag(self):
        module = prompt.Prompt(length=-2)
        x = jnp.ones((1, 3), jnp.int32)
        with self.assertRaisesRegex(ValueError, "length is -2.*--prompt_length"):
            module.init(jax.random.key(0), x, jnp.ones((1, 3, 4)))


if __name__ == "__main__":
    absltest.main()
