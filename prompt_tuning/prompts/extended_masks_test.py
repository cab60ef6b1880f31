# SPDX-License-Identifier: Apache-2.0
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.prompts import extended_masks, masks

jax.config.update("jax_numpy_rank_promotion", "raise")

PP = extended_masks.PROMPT_PROMPT
PPC = extended_masks.PROMPT_PROMPT_CAUSAL
PI = extended_masks.PROMPT_INPUT
P = 2
TOKENS = np.array([[5, 6, 1], [7, 1, 0]], np.int32)


def may_see(allowed, query, key, length):
    """One pair of positions by the words of the names; padding aside."""
    if query >= length:
        return True
    if key >= length:
        return PI in allowed
    if PPC in allowed:
        return key <= query
    return PP in allowed or key == query


class ResolveTest(parameterized.TestCase):
    def test_none_is_everything_and_causal_wins(self):
        self.assertEqual(
            extended_masks.resolve_attention(None),
            frozenset(extended_masks.AttentionTypes) - {PP},
        )

    def test_what_tokens_see_is_always_added_and_the_argument_is_left_alone(self):
        given_set = {PP}
        resolved = extended_masks.resolve_attention(given_set)
        self.assertEqual(resolved, {PP, "input->input", "input->prompt"})
        self.assertEqual(given_set, {PP})

    @parameterized.parameters(("prompt->inputs",), (["prompt->inputs"],))
    def test_unknown_name(self, allowed):
        with self.assertRaisesRegex(ValueError, "did you mean 'prompt->input'"):
            extended_masks.prompt_encoder_attention_mask(P, allowed)

    def test_one_name_need_not_be_in_a_list(self):
        self.assertEqual(
            extended_masks.resolve_attention(PI), extended_masks.resolve_attention([PI])
        )

    @parameterized.parameters((None, True), ({PP}, False))
    def test_summary(self, allowed, causal):
        summary = extended_masks.summarize_attention(allowed, decoder=True)
        self.assertEqual("earlier" in summary.split("target")[0], causal)
        self.assertIn("prompt positions see the prompt", summary)
        self.assertIn("target positions", summary)
        self.assertNotIn("target", extended_masks.summarize_attention(allowed))


class MaskTest(parameterized.TestCase):
    @settings(max_examples=30, deadline=None)
    @given(
        st.sets(st.sampled_from(extended_masks.AttentionTypes)),
        st.integers(0, 3),
        st.lists(st.integers(0, 4), min_size=1, max_size=3),
    )
    def test_encoder_pair_by_pair(self, allowed, length, real):
        tokens = (np.arange(4)[None] < np.array(real)[:, None]).astype(np.int32)
        mask = extended_masks.prompt_encoder_attention_mask(length, allowed)(tokens)
        self.assertEqual(mask.shape, (len(real), 1, length + 4, length + 4))
        for row, query, key in itertools.product(
            range(len(real)), range(length + 4), range(length + 4)
        ):
            live = max(query, key) < length + real[row]
            expected = live and may_see(allowed, query, key, length)
            self.assertEqual(bool(mask[row, 0, query, key]), expected, (row, query, key))

    def test_full_attention_is_the_basic_mask(self):
        mask = extended_masks.prompt_encoder_attention_mask(P, {PP, PI})(TOKENS)
        np.testing.assert_array_equal(mask, masks.create_prompt_encoder_mask(P)(TOKENS))
        self.assertEqual(mask.dtype, jnp.float32)

    @parameterized.parameters(
        extended_masks.prompt_encoder_attention_mask, extended_masks.prompt_decoder_attention_mask
    )
    def test_multitask_drops_the_first_token(self, make_mask):
        whole = make_mask(P, {PI}, multitask=True)(TOKENS, dtype=jnp.int32)
        np.testing.assert_array_equal(whole, make_mask(P, {PI})(TOKENS[:, 1:], dtype=jnp.int32))
        self.assertEqual(whole.shape[-1], P + 2)

    def test_decoder_without_a_choice(self):
        """Upstream fails here."""
        causal_attention = np.array([[1, 1, 0], [1, 0, 0]], np.int32)
        default = extended_masks.prompt_decoder_attention_mask(P)(TOKENS, causal_attention)
        chosen = extended_masks.prompt_decoder_attention_mask(P, {PPC, PI})
        np.testing.assert_array_equal(default, chosen(TOKENS, causal_attention))

    def test_decoder_with_full_attention_is_the_basic_mask(self):
        causal_attention = np.array([[1, 1, 0], [1, 0, 0]], np.int32)
        mask = extended_masks.prompt_decoder_attention_mask(P, {PP, PI})
        basic = masks.create_prompt_decoder_only_mask(P)
        for given_attention in (causal_attention, None):
            np.testing.assert_array_equal(
                mask(TOKENS, given_attention), basic(TOKENS, given_attention)
            )

    def test_decoder_takes_from_the_prompt_what_it_may_not_see(self):
        """Also what plain causal attention would let it see: earlier prompt positions."""
        causal_attention = np.array([[1, 1, 0], [1, 0, 0]], np.int32)
        mask = extended_masks.prompt_decoder_attention_mask(P, ())(TOKENS, causal_attention)
        np.testing.assert_array_equal(mask[0, 0, :P], np.eye(P, P + 3))


if __name__ == "__main__":
    absltest.main()
