# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.prompts import masks

jax.config.update("jax_numpy_rank_promotion", "raise")

P = 2
TOKENS = np.array([[5, 6, 1], [5, 1, 0]], np.int32)


class AddFakePromptTest(absltest.TestCase):
    def test_prepends_ones(self):
        out = masks.add_fake_prompt(P)(TOKENS)
        np.testing.assert_array_equal(out, [[1, 1, 5, 6, 1], [1, 1, 5, 1, 0]])
        self.assertEqual(out.dtype, TOKENS.dtype)

    def test_multitask_drops_the_task_index(self):
        out = masks.add_fake_prompt(P, multitask=True)(TOKENS)
        np.testing.assert_array_equal(out, [[1, 1, 6, 1], [1, 1, 1, 0]])


class EncoderMaskTest(parameterized.TestCase):
    @parameterized.parameters(jnp.float32, jnp.bfloat16, jnp.int32)
    def test_everything_but_padding_sees_everything_but_padding(self, dtype):
        mask = masks.create_prompt_encoder_mask(P)(TOKENS, dtype)
        self.assertEqual(mask.dtype, dtype)
        live = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
        np.testing.assert_array_equal(mask[:, 0], live[:, :, None] * live[:, None, :])


class DecoderOnlyMaskTest(parameterized.TestCase):
    @parameterized.parameters(jnp.float32, jnp.bfloat16)
    def test_causal_without_prefix(self, dtype):
        mask = masks.create_prompt_decoder_only_mask(P)(TOKENS, None, dtype)
        self.assertEqual(mask.shape, (2, 1, P + 3, P + 3))
        self.assertEqual(mask.dtype, dtype)
        np.testing.assert_array_equal(mask[0, 0], np.tril(np.ones((5, 5))))
        padded = np.tril(np.ones((5, 5)))
        padded[4] = padded[:, 4] = 0
        np.testing.assert_array_equal(mask[1, 0], padded)

    def test_prompt_and_prefix_see_each_other(self):
        prefix = np.array([[1, 0, 0], [1, 1, 0]], np.int32)
        mask = masks.create_prompt_decoder_only_mask(P)(TOKENS, prefix)
        expected = np.tril(np.ones((5, 5)))
        expected[:3, :3] = 1
        np.testing.assert_array_equal(mask[0, 0], expected)
        expected = np.ones((5, 5))
        expected[4] = expected[:, 4] = 0
        np.testing.assert_array_equal(mask[1, 0], expected)


if __name__ == "__main__":
    absltest.main()
