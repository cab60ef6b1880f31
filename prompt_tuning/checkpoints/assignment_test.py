# SPDX-License-Identifier: Apache-2.0
"""Tests of assignment maps, on names alone."""

from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints.assignment import apply_assignment_map

_BASE = ["target/encoder/w", "target/decoder/w", "state/step", "state/param_states/encoder/w/v"]
_PROMPT = "target/encoder/prompt/prompt/prompt"
_PROMPT_STATE = "state/param_states/encoder/prompt/prompt/prompt/v"
_MODEL = ["target/encoder/w", "target/decoder/w", "state/step", _PROMPT, _PROMPT_STATE]


class AssignmentTest(parameterized.TestCase):
    def test_equal_names_need_no_rule(self):
        self.assertEqual(apply_assignment_map(_BASE, _BASE), {name: name for name in _BASE})

    def test_prompt_tuning_starts_the_prompt_afresh(self):
        """The map of upstream's models/t5_1_1_prompt.gin."""
        rules = [(r"^.*prompt.*$", None)]
        assigned = apply_assignment_map(_BASE, _MODEL, rules, fallback_to_scratch=True)
        self.assertIsNone(assigned.pop(_PROMPT))
        self.assertIsNone(assigned.pop(_PROMPT_STATE))
        self.assertEqual(assigned, {name: name for name in _MODEL[:3]})

    def test_groups_are_expanded(self):
        rules = [(r"target/new/(.*)", r"target/encoder/\1")]
        assigned = apply_assignment_map(_BASE, ["target/new/w"], rules, strict=False)
        self.assertEqual(assigned, {"target/new/w": "target/encoder/w"})

    def test_one_array_may_serve_two_names(self):
        rules = [(r"target/(a|b)", "target/encoder/w")]
        assigned = apply_assignment_map(_BASE, ["target/a", "target/b"], rules, strict=False)
        self.assertEqual(set(assigned.values()), {"target/encoder/w"})

    def test_names_may_be_exchanged(self):
        rules = [
            ("target/encoder/w", "target/decoder/w"),
            ("target/decoder/w", "target/encoder/w"),
        ]
        assigned = apply_assignment_map(_BASE, _BASE, rules)
        self.assertEqual(assigned["target/encoder/w"], "target/decoder/w")
        self.assertEqual(assigned["target/decoder/w"], "target/encoder/w")

    def test_the_first_rule_that_matches_decides(self):
        rules = [(r"target/encoder/.*", None), (r"target/.*/w", "target/encoder/w")]
        assigned = apply_assignment_map(_BASE, _BASE, rules)
        self.assertIsNone(assigned["target/encoder/w"])
        self.assertEqual(assigned["target/decoder/w"], "target/encoder/w")

    def test_a_rule_must_match_the_whole_name(self):
        with self.assertRaisesRegex(ValueError, r"match no name of the model: 'prompt'"):
            apply_assignment_map(_BASE, _MODEL, [("prompt", None)], fallback_to_scratch=True)

    def test_a_rule_that_an_earlier_one_covers_is_unused(self):
        rules = [("target/.*", None), ("target/encoder/w", None)]
        with self.assertRaisesRegex(ValueError, "'target/encoder/w'"):
            apply_assignment_map(_BASE, _BASE, rules)

    def test_missing_names_are_errors_with_the_nearest(self):
        message = "no target/encoder/v .*nearest names are target/encoder/w.*fallback_to_scratch"
        with self.assertRaisesRegex(ValueError, message.replace(" .*", ".*")):
            apply_assignment_map(_BASE, ["target/encoder/v"])

    def test_fallback_to_scratch_starts_missing_names_afresh(self):
        assigned = apply_assignment_map(_BASE, _MODEL, fallback_to_scratch=True)
        self.assertIsNone(assigned[_PROMPT])
        self.assertEqual(assigned["state/step"], "state/step")

    def test_a_replacement_that_is_not_there_is_an_error_even_with_fallback(self):
        rules = [(_PROMPT, "target/decoder/x")]
        with self.assertRaisesRegex(
            ValueError, "takes .*prompt from target/decoder/x, .*target/decoder/w"
        ):
            apply_assignment_map(_BASE, _MODEL, rules, fallback_to_scratch=True)

    def test_strict_wants_every_parameter_used(self):
        with self.assertRaisesRegex(ValueError, "1 arrays .* target/decoder/w.*strict = False"):
            apply_assignment_map(_BASE, ["target/encoder/w"])
        apply_assignment_map(_BASE, ["target/encoder/w"], strict=False)

    def test_strict_lets_optimizer_states_go(self):
        names = ["target/encoder/w", "target/decoder/w"]
        self.assertEqual(apply_assignment_map(_BASE, names), {name: name for name in names})

    def test_strict_accepts_what_a_rule_passes_over(self):
        rules = [("target/decoder/.*", None)]
        self.assertIsNone(apply_assignment_map(_BASE, _BASE, rules)["target/decoder/w"])

    @parameterized.parameters(
        ("target/(", None, "no regular expression"),
        ("target/(.*)", r"target/\2", "cannot be expanded"),
    )
    def test_malformed_rules(self, pattern, replacement, message):
        with self.assertRaisesRegex(ValueError, message):
            apply_assignment_map(_BASE, _BASE, [(pattern, replacement)])


if __name__ == "__main__":
    absltest.main()
