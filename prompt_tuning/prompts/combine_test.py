# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.prompts import combine, prompt

jax.config.update("jax_numpy_rank_promotion", "raise")

# EOS is 9. The value of an embedding is its token; those of the prompt's rows are -1 and -2.
X = np.array([[1, 2, 1, 9], [1, 9, 0, 0]])
PROMPT = np.tile(np.array([-1.0, -2.0], np.float32)[None, :, None], (2, 1, 3))
X_EMBED = np.tile(X.astype(np.float32)[..., None], (1, 1, 3))


def _combined(function, x=X, x_embed=X_EMBED) -> list[list[int]]:
    out = np.asarray(jax.jit(function)(PROMPT, x_embed, x))
    np.testing.assert_array_equal(out, np.repeat(out[..., :1], 3, axis=-1))
    return out[..., 0].astype(int).tolist()


def _suffix_by_hand(prompts, x_embed, x, decoder_only, before_eos):
    """The definition, one example at a time."""
    rows = []
    for rows_of_prompt, embedded, ids in zip(prompts, x_embed, x, strict=True):
        begin = max(int((ids != 0).sum()) + decoder_only - before_eos, 0)
        rows.append(np.concatenate([embedded[:begin], rows_of_prompt, embedded[begin:]]))
    return np.stack(rows)


class PlacementTest(parameterized.TestCase):
    def test_prefix(self):
        self.assertEqual(
            _combined(combine.prefix_prompt), [[-1, -2, 1, 2, 1, 9], [-1, -2, 1, 9, 0, 0]]
        )

    def test_prefix_after_bos(self):
        self.assertEqual(
            _combined(combine.prefix_prompt_after_bos),
            [[1, -1, -2, 2, 1, 9], [1, -1, -2, 9, 0, 0]],
        )

    def test_suffix_before_eos_is_the_default(self):
        self.assertEqual(
            _combined(combine.suffix_prompt), [[1, 2, 1, -1, -2, 9], [1, -1, -2, 9, 0, 0]]
        )

    def test_suffix_after_eos(self):
        self.assertEqual(
            _combined(functools.partial(combine.suffix_prompt, before_eos=False)),
            [[1, 2, 1, 9, -1, -2], [1, 9, -1, -2, 0, 0]],
        )

    def test_suffix_of_decoder_only_counts_the_start_token(self):
        shifted = np.array([[0, 1, 2, 9], [0, 1, 0, 0]])
        embedded = np.tile(shifted.astype(np.float32)[..., None], (1, 1, 3))
        suffix = functools.partial(combine.suffix_prompt, decoder_only=True)
        self.assertEqual(
            _combined(suffix, shifted, embedded), [[0, 1, 2, -1, -2, 9], [0, -1, -2, 1, 0, 0]]
        )

    def test_suffix_of_padding_alone_keeps_the_whole_prompt(self):
        empty, embedded = np.zeros_like(X), np.zeros_like(X_EMBED)
        combined = _combined(combine.suffix_prompt, empty, embedded)
        self.assertEqual(combined, [[-1, -2, 0, 0, 0, 0]] * 2)

    @parameterized.parameters(
        combine.prefix_prompt, combine.prefix_prompt_after_bos, combine.suffix_prompt
    )
    def test_result_has_the_dtype_of_the_tokens(self, function):
        out = function(PROMPT, X_EMBED.astype(jnp.bfloat16), X)
        self.assertEqual(out.dtype, jnp.bfloat16)

    @parameterized.parameters(
        combine.prefix_prompt, combine.prefix_prompt_after_bos, combine.suffix_prompt
    )
    def test_prompt_of_length_zero_changes_nothing(self, function):
        np.testing.assert_array_equal(function(PROMPT[:, :0], X_EMBED, X), X_EMBED)

    @settings(max_examples=25, deadline=None)
    @given(
        lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4),
        positions=st.integers(0, 5),
        decoder_only=st.booleans(),
        before_eos=st.booleans(),
        seed=st.integers(0, 99),
    )
    def test_suffix_matches_its_definition(
        self, lengths, positions, decoder_only, before_eos, seed
    ):
        random = np.random.RandomState(seed)
        # One column more than the longest example, so that a start token always fits.
        x = np.array([[5] * n + [0] * (7 - n) for n in lengths])
        x_embed = random.normal(size=(*x.shape, 2)).astype(np.float32)
        prompts = random.normal(size=(len(x), positions, 2)).astype(np.float32)
        np.testing.assert_array_equal(
            combine.suffix_prompt(prompts, x_embed, x, decoder_only, before_eos),
            _suffix_by_hand(prompts, x_embed, x, decoder_only, before_eos),
        )


class PromptTest(absltest.TestCase):
    def test_combines_the_expanded_prompt(self):
        calls = []

        def record(*args):
            calls.append(args)
            return combine.prefix_prompt(*args)

        module = combine.Prompt(prompt.Prompt(length=2), record)
        out, variables = module.init_with_output(jax.random.key(0), X, X_EMBED)
        value = variables["params"]["prompt"]["prompt"]
        (expanded, x_embed, x), *more = calls
        self.assertEmpty(more)
        np.testing.assert_array_equal(expanded, np.stack([value, value]))
        self.assertIs(x_embed, X_EMBED)
        self.assertIs(x, X)
        np.testing.assert_array_equal(out, np.concatenate([expanded, X_EMBED], axis=1))


if __name__ == "__main__":
    absltest.main()
