# SPDX-License-Identifier: Apache-2.0
"""Makes `sentencepiece.model`, the vocabulary of the bundled model.

  tools/bazel run //prompt_tuning/bundled:make_vocabulary

A unigram model whose every world word is one NORMAL piece. SentencePiece's own unigram trainer
cannot make it: on text from sentence patterns its EM step prunes most of the words. So the trainer
is asked only for what it does well, the normaliser and, by pair merging, pieces for the words that
the world does not have; the word pieces and all scores are set here. Letters, digits and
punctuation of ASCII are pieces too, so no ASCII text becomes unknown.
"""

import collections
import io
import math
import os
import re
import string
from collections.abc import Mapping

import sentencepiece
from absl import app, flags, logging
from sentencepiece import sentencepiece_model_pb2 as model_pb2

from prompt_tuning.bundled import bundled, grammar, world

_OUTPUT = flags.DEFINE_string(
    "output", os.path.join(bundled.source_folder(), "sentencepiece.model"), "File to write."
)

# Pieces of the file. With 100 sentinels, which SeqIO appends, the size is a multiple of 128.
SIZE = 1180
SEED = 0
SPACE = "\u2581"
PUNCTUATION = (",", ".")

# Log-probabilities. A word as one piece must beat each of its splits, so any two pieces that could
# split it score less together than the rarest word alone: the best word piece is about -2.5, hence
# fragments start below -10 + 2.5.
RAREST_WORD = -10.0
FRAGMENT = -11.0
CHARACTER = -14.0
_FRAGMENT_STEP = 1e-3

_Piece = model_pb2.ModelProto.SentencePiece


def word_counts(n: int = 20_000) -> Mapping[str, int]:
    """How often each token of the world occurs in `n` reviews; at least 1."""
    counts = collections.Counter(grammar.tokens())
    for text in world.reviews(SEED, n):
        counts.update(re.findall(r"\w+|[,.]", text))
    return counts


def _trained(counts: Mapping[str, int]) -> model_pb2.ModelProto:
    """A pair-merging model of the world's words: its normaliser and its fragments are used."""
    buffer = io.BytesIO()
    words = sorted(word for word in counts if word not in PUNCTUATION)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words),
        model_writer=buffer,
        model_type="bpe",
        vocab_size=1000,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    return model_pb2.ModelProto.FromString(buffer.getvalue())


def _pieces(counts: Mapping[str, int], trained: model_pb2.ModelProto) -> dict[str, float]:
    """Scores of the NORMAL pieces, in the order of their ids."""
    total = sum(counts.values())
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    pieces = {
        word if word in PUNCTUATION else SPACE + word: max(
            RAREST_WORD, math.log(counts[word] / total)
        )
        for word in ordered
    }
    characters = [SPACE, *string.ascii_letters, *string.digits, *string.punctuation]
    missing = [character for character in characters if character not in pieces]
    room = SIZE - 3 - len(pieces) - len(missing)
    fragments = [
        piece.piece
        for piece in trained.pieces
        if piece.type == _Piece.NORMAL and len(piece.piece) > 1 and piece.piece not in pieces
    ]
    if len(fragments) < room:
        raise ValueError(
            f"Only {len(fragments)} fragments for {room} free ids; lower SIZE, which is {SIZE}, "
            "by the difference."
        )
    for rank, fragment in enumerate(fragments[:room]):
        pieces[fragment] = FRAGMENT - rank * _FRAGMENT_STEP
    return pieces | {character: CHARACTER for character in missing}


def make_model() -> bytes:
    """The serialised SentencePiece model; the same bytes on every call."""
    counts = word_counts()
    trained = _trained(counts)
    model = model_pb2.ModelProto()
    # T5's ids: padding 0, end of sequence 1, unknown 2, no beginning of sequence.
    for piece, kind in (
        ("<pad>", _Piece.CONTROL),
        ("</s>", _Piece.CONTROL),
        ("<unk>", _Piece.UNKNOWN),
    ):
        model.pieces.add(piece=piece, score=0.0, type=kind)
    for piece, score in _pieces(counts, trained).items():
        model.pieces.add(piece=piece, score=score)
    model.trainer_spec.model_type = model_pb2.TrainerSpec.UNIGRAM
    model.trainer_spec.vocab_size = len(model.pieces)
    model.trainer_spec.pad_id, model.trainer_spec.eos_id = 0, 1
    model.trainer_spec.unk_id, model.trainer_spec.bos_id = 2, -1
    model.normalizer_spec.CopyFrom(trained.normalizer_spec)
    return model.SerializeToString(deterministic=True)


def write_model(path: str) -> None:
    """Writes the model to `path` through a temporary name."""
    temporary = f"{path}.tmp-{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(make_model())
    os.replace(temporary, path)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(
            f"Arguments {argv[1:]} are not understood; the file is set by --output."
        )
    write_model(_OUTPUT.value)
    logging.info("Wrote %s.", _OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
