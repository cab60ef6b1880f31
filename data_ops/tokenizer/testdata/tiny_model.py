# SPDX-License-Identifier: Apache-2.0
"""Trains tiny.model, the SentencePiece model of the tests, from corpus.txt and normalization.tsv.

    python data_ops/tokenizer/testdata/tiny_model.py tiny.model

T5's conventions (pad 0, EOS 1, UNK 2, no BOS) in a few kilobytes. The normalization is a handful
of rules of each kind that nmt_nfkc has (white space, removal, composition, expansion, width),
because the full table alone would be 240 kB. One thread, so the same bytes come out every time.
"""

import io
import pathlib

import sentencepiece
from absl import app
from sentencepiece import sentencepiece_model_pb2

_FOLDER = pathlib.Path(__file__).parent


def train(**options) -> bytes:
    """A serialized unigram model of corpus.txt; `options` override the trainer's."""
    model = io.BytesIO()
    settings = {
        "vocab_size": 320,
        "pad_id": 0,
        "eos_id": 1,
        "unk_id": 2,
        "bos_id": -1,
        "num_threads": 1,
        "minloglevel": 2,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter((_FOLDER / "corpus.txt").read_text("utf-8").splitlines()),
        model_writer=model,
        **(settings | options),
    )
    return model.getvalue()


def train_tiny() -> bytes:
    """The bytes of tiny.model."""
    model = train(
        normalization_rule_tsv=str(_FOLDER / "normalization.tsv"),
        user_defined_symbols=["<mask>"],
    )
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    # A path of the machine that trained it.
    proto.normalizer_spec.ClearField("normalization_rule_tsv")
    return proto.SerializeToString(deterministic=True)


def main(argv: list[str]) -> None:
    if len(argv) != 2:
        raise app.UsageError(f"got arguments {argv[1:]}; one is accepted, the file to write.")
    pathlib.Path(argv[1]).write_bytes(train_tiny())


if __name__ == "__main__":
    app.run(main)
