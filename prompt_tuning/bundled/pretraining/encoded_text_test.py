# SPDX-License-Identifier: Apache-2.0
import numpy as np
from absl.testing import absltest

from prompt_tuning.bundled import bundled, world
from prompt_tuning.bundled.pretraining import encoded_text


class EncodedTextTest(absltest.TestCase):
    def test_sentinels_are_the_last_ids(self):
        vocabulary = encoded_text.vocabulary()
        self.assertEqual(vocabulary.vocab_size, bundled.SIZES["vocab_size"])
        self.assertEqual(vocabulary.encode("<extra_id_0>")[-1], bundled.SIZES["vocab_size"] - 1)

    def test_encode_gives_each_text_its_ids_without_eos(self):
        texts = world.reviews(0, 5)
        encoded = encoded_text.encode(texts)
        self.assertLen(encoded, 5)
        for text, ids in zip(texts, encoded, strict=True):
            self.assertEqual(ids.tolist(), encoded_text.vocabulary().encode(text))
            self.assertEqual(ids.dtype, np.int32)
            self.assertNotIn(1, ids)

    def test_label_tokens_are_a_word_and_eos_in_the_order_of_the_ids(self):
        labels = encoded_text.label_tokens()
        self.assertEqual(labels.shape, (2, 2))
        words = [encoded_text.vocabulary().decode([int(word)]) for word in labels[:, 0]]
        self.assertEqual(words, ["negative", "positive"])
        self.assertEqual(labels[:, 1].tolist(), [1, 1])

    def test_classification_examples_keep_their_text_and_label(self):
        tokens = encoded_text.classification("test", 20)
        expected = world.classification_examples("test", 20)
        self.assertEqual(tokens.labels.tolist(), [label == "positive" for _, label in expected])
        for row, (text, _) in zip(tokens.inputs, expected, strict=True):
            self.assertEqual(encoded_text.vocabulary().decode(row[row > 0]), text)

    def test_a_suffix_is_appended(self):
        plain = encoded_text.classification("test", 3)
        longer = encoded_text.classification("test", 3, suffix=" overall a")
        np.testing.assert_array_equal(
            (longer.inputs > 0).sum(axis=1), (plain.inputs > 0).sum(axis=1) + 2
        )


if __name__ == "__main__":
    absltest.main()
