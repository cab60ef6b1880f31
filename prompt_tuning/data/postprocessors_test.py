# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest, parameterized

from prompt_tuning.data import postprocessors


class PostprocessorsTest(parameterized.TestCase):
    @parameterized.parameters(("no", 0), ("yes", 1), ("Yes", -1), ("", -1))
    def test_class_id(self, text, expected):
        got = postprocessors.string_label_to_class_id(text, ("no", "yes"), is_target=True)
        self.assertEqual(got, expected)

    @parameterized.parameters(("3.8", 3.8), ("-1e2", -100.0), ("three", -1.0), ("", -1.0))
    def test_string_to_float(self, text, expected):
        self.assertEqual(postprocessors.string_to_float(text, is_target=False), expected)

    def test_multirc(self):
        example = {"idx/paragraph": 2, "idx/question": 7, "idx/answer": 1}
        got = postprocessors.multirc("True", example=example, is_target=True)
        self.assertEqual(got, {"value": 1, "group": (2, 7)})
        self.assertEqual(postprocessors.multirc("true", example=example), {"value": -1})

    def test_answers_of_an_example(self):
        example = {"answers": [b"A", "b"], "idx/passage": 3, "idx/query": 4}
        self.assertEqual(postprocessors.qa("x", example, is_target=True), ["A", "b"])
        self.assertEqual(postprocessors.qa("x", example), "x")
        got = postprocessors.record("x", example, is_target=True)
        self.assertEqual(got, {"value": ["A", "b"], "group": (3, 4)})
        self.assertEqual(postprocessors.record("x", example), {"value": "x"})

    @parameterized.parameters(
        ("the fuzzy bunny", "bunny", 1), ("Bunny ", "the fuzzy bunny", 1), ("cat", "bunny", 0),
        ("Bob", "Bob's hat", 0), ("my", "bunny", -1), ("", "bunny", -1), ("Bob's", "his Bob's", 1),
    )  # fmt: skip
    def test_wsc(self, prediction, span, expected):
        example = {"targets_pretokenized": span.encode(), "label": 1}
        self.assertEqual(postprocessors.wsc_simple(prediction, example=example), expected)
        self.assertEqual(postprocessors.wsc_simple("x", example=example, is_target=True), 1)

    @parameterized.parameters(("not_equivalent", "not_duplicate"), ("equivalent", "duplicate"))
    def test_translations(self, mrpc, qqp):
        self.assertEqual(postprocessors.mrpc_to_qqp(mrpc, example={}), qqp)
        self.assertEqual(postprocessors.qqp_to_mrpc(qqp, example={}), mrpc)
        self.assertEqual(postprocessors.mrpc_to_qqp("other"), "other")

    def test_identity(self):
        self.assertEqual(postprocessors.identity(" a", example={}, is_target=True), " a")

    @parameterized.parameters(
        ("<extra_id_0> yes", "yes"), ("yes", "yes"), ("a <extra_id_0>", "a <extra_id_0>"),
        ("  a", "  a"), ("<extra_id_0>", ""),
    )  # fmt: skip
    def test_remove_extra_id_0(self, text, expected):
        self.assertEqual(postprocessors.remove_extra_id_0(text, example={}), expected)

    def test_sequential_goes_from_left_to_right(self):
        calls = []

        def step(text, example):
            calls.append(example)
            return text + "!"

        steps = postprocessors.sequential(step, lambda text, example: text.upper(), step)
        self.assertEqual(steps("a", example=7), "A!!")
        self.assertEqual(calls, [7, 7])

    @parameterized.parameters(
        ("The  Cat's hat!", "cats hat"), ("a an the", ""), ("An-the", "anthe"), ("U.S.", "us"),
        ("caf\u00e9 the", "caf\u00e9"),
    )  # fmt: skip
    def test_normalize_squad(self, text, expected):
        self.assertEqual(postprocessors.normalize_squad(text), expected)

    def test_with_examples(self):
        example = {"inputs_pretokenized": b"in", "targets_pretokenized": b"yes", "other": 1}
        got = postprocessors.postprocess_with_examples(
            lambda text, **unused: len(text), "four", example=example, is_target=False
        )
        self.assertEqual(
            got,
            {
                "prediction": 4,
                "prediction_pretokenized": "four",
                "inputs_pretokenized": b"in",
                "targets_pretokenized": b"yes",
            },
        )

    def test_with_examples_leaves_targets_alone(self):
        got = postprocessors.postprocess_with_examples(
            lambda text, **unused: len(text), "four", is_target=True
        )
        self.assertEqual(got, 4)

    def test_stages_of_examples(self):
        earlier = {"text": "abc", "inputs_pretokenized": "in"}
        got = postprocessors.postprocess_with_examples(
            lambda text, **unused: len(text), earlier, decoded_model_output_field="text"
        )
        self.assertEqual((got["prediction"], got["prediction_pretokenized"]), (3, "abc"))
        self.assertEqual(got["inputs_pretokenized"], "in")
        self.assertIsNone(got["targets_pretokenized"])


if __name__ == "__main__":
    absltest.main()
