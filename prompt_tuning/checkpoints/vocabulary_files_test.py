# SPDX-License-Identifier: Apache-2.0
import io
import os

import sentencepiece
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import vocabulary_files

_PIECES = 30


def train(path, user_defined=()):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the plot is thin but the music is good"] * 20),
        model_writer=model,
        vocab_size=_PIECES,
        user_defined_symbols=list(user_defined),
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with open(path, "wb") as file:
        file.write(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()


class ExtraIdsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.create_tempdir().full_path, "spiece.model")

    @parameterized.parameters((128, 100), (100, 100), (7, 7), (0, 0), (-3, 0))
    def test_as_many_as_there_are_rows_up_to_a_hundred(self, spare, expected):
        pieces = train(self.path)
        self.assertEqual(vocabulary_files.extra_ids(self.path, pieces + spare), expected)

    def test_sentinels_among_the_pieces(self):
        pieces = train(self.path, ["<extra_id_1>", "<extra_id_0>"])
        self.assertEqual(vocabulary_files.extra_ids(self.path, pieces + 128), 0)

    @parameterized.parameters(b"", b"no model at all")
    def test_another_file(self, content):
        with open(self.path, "wb") as file:
            file.write(content)
        with self.assertRaisesRegex(ValueError, "spiece.model is no SentencePiece.*--vocabulary"):
            vocabulary_files.extra_ids(self.path, 100)


if __name__ == "__main__":
    absltest.main()
