# SPDX-License-Identifier: Apache-2.0
"""Tests of the choice of trainable parameters."""

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from prompt_tuning.training import subset

_PARAMS = {
    "encoder/prompt/prompt/prompt": 1,
    "encoder/layers_0/mlp/wi_0/kernel": 2,
    "encoder/layers_0/prompt/prompt/prompt": 3,
    "encoder/prompt/prompt/shared_prompt": 4,
    "token_embedder/embedding": 5,
}


class SelectTest(parameterized.TestCase):
    @parameterized.named_parameters(
        (
            "upstream_prompt_regex",
            [".*/prompt/.*"],
            [
                "encoder/layers_0/prompt/prompt/prompt",
                "encoder/prompt/prompt/prompt",
                "encoder/prompt/prompt/shared_prompt",
            ],
        ),
        ("needs_the_leading_slash", ["/token_embedder/embedding"], ["token_embedder/embedding"]),
        ("everything", [".*"], sorted(_PARAMS)),
        (
            "two_regexes_that_overlap_select_once",
            [".*/embedding", "/token.*"],
            ["token_embedder/embedding"],
        ),
    )
    def test_selects(self, regexes, expected):
        self.assertEqual(subset.select(_PARAMS, regexes), expected)

    @parameterized.parameters("prompt", "token_embedder/embedding", ".*/shared_prompt/.*", "k/")
    def test_a_regex_must_match_the_whole_path(self, regex):
        with self.assertRaisesRegex(ValueError, "matches none of the model's 5 parameters"):
            subset.select(_PARAMS, [regex])

    def test_message_names_the_nearest_parameters_and_the_macro(self):
        with self.assertRaises(ValueError) as caught:
            subset.select(_PARAMS, [".*", ".*/shared_prompt/.*"])
        message = str(caught.exception)
        self.assertIn("encoder/prompt/prompt/shared_prompt", message)
        self.assertIn("PROMPT_REGEX", message)
        self.assertNotIn("'.*' matches none", message)

    def test_a_bare_string_is_refused(self):
        with self.assertRaisesRegex(ValueError, r"write a list, e.g. \['.\*/prompt/.\*'\]"):
            subset.match_any(".*/prompt/.*")

    def test_an_invalid_regex_is_refused(self):
        with self.assertRaisesRegex(ValueError, "is not a regular expression"):
            subset.match_any(["("])


class SplitTest(absltest.TestCase):
    def test_split_and_names(self):
        trainable, frozen = subset.split(_PARAMS, ["/token_embedder/.*"])
        self.assertEqual(trainable, {"token_embedder/embedding": 5})
        self.assertLen(frozen, 4)

    def test_merge_refuses_a_name_on_both_sides(self):
        with self.assertRaisesRegex(ValueError, "both trainable and frozen.*a/b"):
            subset.merge({"a/b": 1}, {"a/b": 2, "c": 3})

    def test_split_by_unknown_name(self):
        with self.assertRaises(KeyError):
            subset.split_by_name(_PARAMS, ["no/such"])

    @given(st.dictionaries(st.text("abc/", min_size=1), st.integers()), st.data())
    def test_merge_is_the_inverse_of_split(self, params, data):
        names = data.draw(st.lists(st.sampled_from(sorted(params)))) if params else []
        trainable, frozen = subset.split_by_name(params, names)
        self.assertEqual(subset.merge(trainable, frozen), params)
        self.assertEqual(set(trainable), set(names))
        self.assertEmpty(set(trainable) & set(frozen))


if __name__ == "__main__":
    absltest.main()
