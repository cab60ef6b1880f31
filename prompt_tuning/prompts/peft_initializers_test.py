# SPDX-License-Identifier: Apache-2.0
import jax
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.prompts import peft_initializers

jax.config.update("jax_numpy_rank_promotion", "raise")

_TABLE = np.random.RandomState(0).normal(size=(12, 4)).astype(np.float32)
_KEY = jax.random.key(0)


class _Words:
    """A vocabulary where every letter is a token, `a` the third row."""

    def encode(self, s):
        return [ord(letter) - ord("a") + 2 for letter in s]


class PeftInitializersTest(parameterized.TestCase):
    def test_random_is_standard_normal(self):
        values = peft_initializers.random()(_KEY, (2000, 4))
        self.assertAlmostEqual(float(values.mean()), 0, delta=0.05)
        self.assertAlmostEqual(float(values.std()), 1, delta=0.05)

    def test_sample_vocab_draws_with_replacement_from_all_rows(self):
        values = np.asarray(peft_initializers.sample_vocab(_TABLE)(_KEY, (200, 4)))
        rows = [int(np.flatnonzero((_TABLE == value).all(axis=1))[0]) for value in values]
        self.assertEqual(set(rows), set(range(12)))
        few = np.asarray(peft_initializers.sample_vocab(_TABLE)(jax.random.key(3), (12, 4)))
        self.assertLess(len(np.unique(few, axis=0)), 12)  # 1 in 18,614 would have no row twice.

    @parameterized.parameters(
        (2, [2, 3]), (3, [2, 3, 1]), (4, [2, 3, 1, 2]), (8, [2, 3, 1, 2, 3, 1, 2, 3])
    )
    def test_text_is_repeated_with_its_end(self, length, expected):
        initializer = peft_initializers.text(_TABLE, _Words(), "ab")
        np.testing.assert_array_equal(initializer(_KEY, (length, 4)), _TABLE[expected])

    @parameterized.parameters(
        peft_initializers.sample_vocab(_TABLE), peft_initializers.text(_TABLE, _Words(), "a")
    )
    def test_another_width(self, initializer):
        with self.assertRaisesRegex(ValueError, "table has width 4, the prompt needs 5"):
            initializer(_KEY, (3, 5))


if __name__ == "__main__":
    absltest.main()
