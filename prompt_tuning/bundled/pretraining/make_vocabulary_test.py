# SPDX-License-Identifier: Apache-2.0
import os
import string

import sentencepiece
from absl.testing import absltest, parameterized
from sentencepiece import sentencepiece_model_pb2 as model_pb2

from prompt_tuning.bundled import bundled, grammar, lexicon, world
from prompt_tuning.bundled.pretraining import make_vocabulary

SPACE = make_vocabulary.SPACE


def _bundled_bytes() -> bytes:
    with open(bundled.vocabulary_path(), "rb") as file:
        return file.read()


class MakeVocabularyTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.processor = sentencepiece.SentencePieceProcessor(model_proto=_bundled_bytes())
        cls.proto = model_pb2.ModelProto.FromString(_bundled_bytes())

    def test_remaking_gives_the_bundled_bytes(self):
        self.assertEqual(make_vocabulary.make_model(), _bundled_bytes())

    def test_writing_leaves_only_the_file(self):
        folder = self.create_tempdir()
        make_vocabulary.write_model(os.path.join(folder.full_path, "a.model"))
        self.assertEqual(os.listdir(folder.full_path), ["a.model"])

    def test_sizes(self):
        self.assertLess(len(_bundled_bytes()), 300_000)
        self.assertEqual(self.processor.vocab_size(), make_vocabulary.SIZE)
        self.assertEqual(make_vocabulary.SIZE + bundled.EXTRA_IDS, bundled.SIZES["vocab_size"])

    def test_ids_of_t5(self):
        ids = (
            self.processor.pad_id(),
            self.processor.eos_id(),
            self.processor.unk_id(),
            self.processor.bos_id(),
        )
        self.assertEqual(ids, (0, 1, 2, -1))

    def test_every_opinion_and_label_word_is_one_piece(self):
        for word in lexicon.opinion_words() | set(lexicon.LABELS):
            self.assertEqual(self.processor.encode(word, out_type=str), [SPACE + word])

    def test_every_token_of_the_world_is_one_piece(self):
        tokens = sorted(grammar.tokens() - set(make_vocabulary.PUNCTUATION))
        # Each beside the most frequent pieces, which are the likeliest to steal from it.
        for token in tokens:
            text = f"the {token}, {token}."
            pieces = ["the", token, ",", token, "."]
            expected = [p if p in make_vocabulary.PUNCTUATION else SPACE + p for p in pieces]
            self.assertEqual(self.processor.encode(text, out_type=str), expected)

    def test_reviews_come_back(self):
        for text in world.reviews(1, 200):
            ids = self.processor.encode(text)
            self.assertEqual(self.processor.decode(ids), text)
            self.assertNotIn(self.processor.unk_id(), ids)
            self.assertLessEqual(len(ids), world.MAX_TOKENS)

    @parameterized.parameters(
        string.ascii_letters, string.digits, string.punctuation, "The Fox's 42%!"
    )
    def test_no_ascii_text_is_unknown(self, text):
        ids = self.processor.encode(text)
        self.assertNotIn(self.processor.unk_id(), ids)
        self.assertEqual(self.processor.decode(ids), text)

    def test_words_are_independent(self):
        # What the fast path of the tokenizer asks for; see data_ops.
        self.assertEqual(self.proto.trainer_spec.model_type, model_pb2.TrainerSpec.UNIGRAM)
        self.assertFalse(self.proto.trainer_spec.byte_fallback)
        self.assertTrue(self.proto.normalizer_spec.add_dummy_prefix)
        self.assertTrue(self.proto.normalizer_spec.remove_extra_whitespaces)
        self.assertTrue(self.proto.normalizer_spec.escape_whitespaces)
        self.assertEqual(self.proto.normalizer_spec.name, "nmt_nfkc")
        normal = [p.piece for p in self.proto.pieces if p.type == p.NORMAL]
        self.assertLen(normal, make_vocabulary.SIZE - 3)
        self.assertIn(SPACE, normal)
        for piece in normal:
            self.assertNotIn(SPACE, piece[1:])

    def test_no_two_pieces_outweigh_a_word(self):
        scores = {p.piece: p.score for p in self.proto.pieces if p.type == p.NORMAL}
        words = [SPACE + t for t in grammar.tokens() if t not in make_vocabulary.PUNCTUATION]
        for word in words:
            for cut in range(1, len(word)):
                left, right = word[:cut], word[cut:]
                if left in scores and right in scores:
                    self.assertLess(scores[left] + scores[right], scores[word], msg=word)


if __name__ == "__main__":
    absltest.main()
