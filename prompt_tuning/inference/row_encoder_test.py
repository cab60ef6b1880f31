# SPDX-License-Identifier: Apache-2.0
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.inference import prompt_bank, requests, row_encoder, toy_predictor

Request = requests.Request
LENGTH = 6


def make_encoder(report=True, add_inputs_eos=True):
    return row_encoder.RowEncoder(toy_predictor.Letters(), LENGTH, add_inputs_eos, report)


def make_table(*names):
    bank = prompt_bank.PromptBank(toy_predictor.H, max_length=2)
    for name in names:
        bank.add(name, np.zeros((2, toy_predictor.H)))
    return bank.snapshot()


def encode(rows, *arguments, report=True, **options):
    encoder = make_encoder(report)
    return encoder.encode([requests.as_request(row) for row in rows], *arguments, **options)


class RowEncoderTest(parameterized.TestCase):
    def test_good_rows(self):
        encoded = encode(["ab", "abcde"])
        np.testing.assert_array_equal(encoded.tokens, [[3, 4, 1, 0, 0, 0], [3, 4, 5, 6, 7, 1]])
        np.testing.assert_array_equal(encoded.rows, [0, 1])
        np.testing.assert_array_equal(encoded.lengths, [3, 6])
        self.assertEqual(encoded.errors, {})

    def test_each_bad_row_has_its_error_and_the_rest_is_as_without_it(self):
        rows = [
            Request("ab", "x"),
            Request("abcdef", "x"),
            Request(" \t", "y"),
            Request("abc", "z"),
            Request("abc"),
            Request("c", "y"),
        ]
        table = make_table("x", "y")
        encoded = encode(rows, table)
        kinds = {row: error.kind for row, error in encoded.errors.items()}
        self.assertEqual(
            kinds, {1: "too_long", 2: "empty", 3: "unknown_prompt", 4: "unknown_prompt"}
        )
        alone = encode([rows[0], rows[5]], table)
        for field in ("tokens", "slots"):
            np.testing.assert_array_equal(getattr(encoded, field), getattr(alone, field))
        np.testing.assert_array_equal(encoded.rows, [0, 5])
        np.testing.assert_array_equal(encoded.slots, [0, 1])
        self.assertLen(encoded.seeds, 2)

    def test_messages(self):
        rows = ["abcdefgh", Request("a", "sst")]
        first, second = encode(rows, make_table("sst2", "mrpc"), "mrpc").errors.values()
        messages = {first.kind: first.message, second.kind: second.message}
        self.assertRegex(messages["too_long"], "9 tokens, the limit is 6.*--inputs_length")
        self.assertRegex(messages["unknown_prompt"], "'sst' among the 2.*sst2")
        (error,) = encode([Request("a")], make_table("sst2")).errors.values()
        self.assertRegex(error.message, "names no prompt.*sst2")
        (error,) = encode([Request("a", "sst2")]).errors.values()
        self.assertRegex(error.message, "'sst2', but no prompts")

    def test_a_text_that_is_none_is_an_error_of_its_row(self):
        encoded = encode(["ab", "a\ud800b", "c\0"])
        np.testing.assert_array_equal(encoded.rows, [0, 2])
        self.assertEqual(encoded.errors[1].kind, "unreadable")
        self.assertIn("character 1 of the text is '\\ud800'", encoded.errors[1].message)

    def test_nothing_but_bad_rows(self):
        encoded = encode(["", "abcdefgh"])
        self.assertEqual(encoded.tokens.shape, (0, LENGTH))
        self.assertEqual(encoded.seeds.shape, (0, 2))
        self.assertEmpty(encoded.lengths)
        self.assertLen(encoded.errors, 2)

    def test_without_reports_long_rows_are_cut_and_empty_ones_kept(self):
        encoded = encode(["abcdefgh", ""], report=False)
        np.testing.assert_array_equal(encoded.tokens, [[3, 4, 5, 6, 7, 1], [1, 0, 0, 0, 0, 0]])
        with self.assertRaisesRegex(ValueError, "row 11: there is no prompt 'z'"):
            encode([Request("a", "x"), Request("a", "z")], make_table("x"), report=False, first=10)

    def test_default_prompt_is_for_rows_that_name_none(self):
        table = make_table("x", "y")
        encoded = encode(["a", Request("a", "x"), "b"], table, "y")
        np.testing.assert_array_equal(encoded.slots, [1, 0, 1])

    def test_seeds_are_those_asked_for_or_of_the_place_in_the_stream(self):
        window = ["a", Request("a", seed=5), "a"]
        encoded = encode(window, first=4)
        np.testing.assert_array_equal(encoded.seeds, [[0, 4], [1, 5], [0, 6]])

    @parameterized.parameters(-1, 2**32)
    def test_seed_out_of_range(self, seed):
        with self.assertRaisesRegex(ValueError, f"seed of a request is {seed}"):
            Request("a", seed=seed)

    def test_without_eos_one_more_token_fits(self):
        encoder = make_encoder(add_inputs_eos=False)
        encoded = encoder.encode([Request("abcdef"), Request("abcdefg")])
        np.testing.assert_array_equal(encoded.tokens, [[3, 4, 5, 6, 7, 8]])
        self.assertRegex(encoded.errors[1].message, "7 tokens")

    def test_ids_stand_for_their_text(self):
        ids = np.array([9, 0, 8, 7], np.int32)
        encoded = encode(["ab", Request("not read", tokens=ids), Request("", tokens=[4])])
        np.testing.assert_array_equal(encoded.tokens[0], [3, 4, 1, 0, 0, 0])
        np.testing.assert_array_equal(encoded.tokens[1], [9, 0, 8, 7, 0, 0])
        np.testing.assert_array_equal(encoded.lengths, [3, 4, 1])
        (error,) = encode([Request("a", tokens=range(2, 9))]).errors.values()
        self.assertRegex(error.message, "7 tokens, the limit is 6")
        cut = encode([Request("a", tokens=range(2, 9))], report=False)
        np.testing.assert_array_equal(cut.tokens, [[2, 3, 4, 5, 6, 7]])

    @parameterized.parameters(
        ((), "empty", "no tokens"),
        ((0, 0), "empty", "no tokens"),
        ((2, -1), "unreadable", "token -1; accepted are 0 to 31"),
        ((2, 32), "unreadable", "token 32; accepted are 0 to 31"),
    )
    def test_ids_that_the_model_does_not_know(self, ids, kind, message):
        encoder = row_encoder.RowEncoder(make_encoder()._vocabulary, 6, True, True, num_ids=32)
        encoded = encoder.encode([Request("", tokens=ids), Request("", tokens=(31,))])
        np.testing.assert_array_equal(encoded.rows, [1])
        self.assertEqual(encoded.errors[0].kind, kind)
        self.assertRegex(encoded.errors[0].message, message)

    def test_targets_are_texts_or_ids(self):
        asked = [Request("", target="ab"), Request("", target="not read", target_tokens=(9, 0, 8))]
        targets = make_encoder().targets(asked, (2, 4, 8))
        np.testing.assert_array_equal(targets, [[3, 4, 1, 0], [9, 0, 8, 0]])
        with self.assertRaisesRegex(ValueError, "'b' has no target to score"):
            make_encoder().targets([*asked, Request("b")], (4,))


if __name__ == "__main__":
    absltest.main()
