# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest

from prompt_tuning.data import fixture_tfds

_TEXT = "the cat sat on the mat and it was a very good day for all of them " * 2


class C4Test(fixture_tfds.TfdsTestCase):
    stored = {"c4/en:2.2.0": ({"text": fixture_tfds.TEXT}, {"train": [{"text": _TEXT}] * 3})}

    def setUp(self):
        super().setUp()
        self._tokens = fixture_tfds.vocabulary().encode(_TEXT)

    def test_token_deletion(self):
        for example in self.examples("c4_v220_bart_token_deletion"):
            inputs, targets = example["inputs"].tolist(), example["targets"].tolist()
            self.assertEqual(targets, [*self._tokens, 1])
            self.assertLess(len(inputs), len(targets))
            rest = iter(targets)
            self.assertTrue(all(token in rest for token in inputs), "inputs are no subsequence")

    def test_text_infilling(self):
        for example in self.examples("c4_v220_bart_text_infilling"):
            inputs = example["inputs"].tolist()
            sentinels = [token for token in inputs if token >= 320]
            self.assertEqual(example["targets"].tolist(), [*self._tokens, 1])
            self.assertNotEmpty(sentinels)
            self.assertEqual(sentinels, [419 - i for i in range(len(sentinels))])

    def test_random_targets(self):
        encode = fixture_tfds.vocabulary().encode
        words = {tuple([*encode(word), 1]) for word in ("positive", "negative")}
        seen = set()
        for seed in range(8):
            name = "c4_v220_random_positive_negative_targets"
            for example in self.examples(name, seed=seed):
                seen.add(tuple(example["targets"].tolist()))
                inputs = example["inputs"].tolist()[:-1]
                self.assertEqual(inputs, self._tokens[: len(inputs)])
                self.assertLess(len(inputs), len(self._tokens))
        self.assertEqual(seen, words)

    def test_long_texts_are_cut_into_pieces_that_fit(self):
        lengths = {"inputs": 32, "targets": 64}
        examples = self.examples("c4_v220_bart_token_deletion", lengths=lengths)
        pieces = [example["targets"].tolist()[:-1] for example in examples]
        self.assertLessEqual(max(map(len, pieces)), 31)
        self.assertEqual(sum(map(len, pieces)), 3 * len(self._tokens))

    def test_seed_decides(self):
        name = "c4_v220_bart_token_deletion"
        one, same, other = (self.examples(name, seed=seed) for seed in (1, 1, 2))
        self.assertEqual(one[0]["inputs"].tolist(), same[0]["inputs"].tolist())
        self.assertNotEqual(one[0]["inputs"].tolist(), other[0]["inputs"].tolist())


if __name__ == "__main__":
    absltest.main()
