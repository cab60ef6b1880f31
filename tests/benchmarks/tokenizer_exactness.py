# SPDX-License-Identifier: Apache-2.0
"""Compares the tokenizer's ids with those of a reference, text by text, and prints what differs.

    tools/bazel run //tests/benchmarks:tokenizer_exactness -- --model=$PWD/spiece.model \
        --corpus=$PWD/a.txt,$PWD/b.txt --reference=sentencepiece

That is sentencepiece 0.2.1, or tensorflow_text with --reference=tensorflow_text: both answer for
semantics "classic". The binary tokenizer_exactness_peers is the same in the environment of the
benchmark's peers, where sentencepiece is 0.2.3; which semantics follows from the release found.
Every text is encoded three times: with a table so small that words are evicted all the time, with
the usual one, and with the usual one again, when it knows them.

Nothing but numpy, the reference and the tokenizer's extension is imported, so that one file serves
all environments. The exit status is 1 where an id differs.
"""

import argparse
import importlib.metadata
import itertools
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from data_ops.tokenizer import tokenizer_module
from tests.benchmarks import tokenizer_fuzz_texts

_EXTRA_IDS = 100
_BATCH_BYTES = 1 << 20
_TINY_TABLE_MB = 1 / 64

Encode = Callable[[list[bytes]], list[np.ndarray]]


def _sentencepiece_reference(model: bytes) -> tuple[str, Encode]:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    version = importlib.metadata.version("sentencepiece")

    def encode(texts: list[bytes]) -> list[np.ndarray]:
        return [np.asarray(row, np.int32) for row in processor.encode(texts)]

    return version, encode


def _tensorflow_text_reference(model: bytes) -> tuple[str, Encode]:
    import tensorflow as tf
    import tensorflow_text

    tokenizer = tensorflow_text.SentencepieceTokenizer(model)

    def encode(texts: list[bytes]) -> list[np.ndarray]:
        rows = tokenizer.tokenize(tf.constant(texts, tf.string))
        return np.split(rows.values.numpy(), rows.row_splits.numpy()[1:-1])

    return importlib.metadata.version("tensorflow_text"), encode


_REFERENCES = {
    "sentencepiece": _sentencepiece_reference,
    "tensorflow_text": _tensorflow_text_reference,
}


def semantics_of(reference: str, version: str) -> str:
    """Which of the tokenizer's semantics a release of a reference answers for."""
    if reference == "tensorflow_text":
        return "classic"
    return "classic" if tuple(map(int, version.split("."))) <= (0, 2, 1) else "0.2.3"


def lines_and_documents(paths: Iterable[str]) -> Iterator[bytes]:
    """Each line of the files, and now and then the last hundred of them as one text."""
    for path in paths:
        recent: list[bytes] = []
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                recent.append(line)
                yield line.rstrip(b"\n")
                if number % 100 == 0:
                    if number % 1000 == 0:
                        yield b"".join(recent)
                    recent.clear()


def batches(texts: Iterable[bytes], max_bytes: int = _BATCH_BYTES) -> Iterator[list[bytes]]:
    """`texts` in lists of about `max_bytes`."""
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text) + 32
        if size >= max_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Comparison:
    """Counts texts, tokens and the texts whose ids differ; prints the first of those."""

    def __init__(self, model: bytes, extra_ids: int, semantics: str, encode: Encode):
        self.texts = self.tokens = self.mismatches = 0
        self._encode = encode
        options = {"extra_ids": extra_ids, "semantics": semantics}
        usual = tokenizer_module.Tokenizer(model, **options)
        tiny = tokenizer_module.Tokenizer(model, cache_mb=_TINY_TABLE_MB, **options)
        self._tokenizers = {"tiny table": tiny, "cold": usual, "warm": usual}

    def compare(self, texts: list[bytes]) -> None:
        expected = self._encode(texts)
        self.texts += len(texts)
        self.tokens += sum(len(row) for row in expected)
        for name, tokenizer in self._tokenizers.items():
            values, row_splits = tokenizer.encode_batch(texts)
            lengths = [len(row) for row in expected]
            if np.array_equal(np.diff(row_splits), lengths) and np.array_equal(
                values, np.concatenate(expected)
            ):
                continue
            for i, row in enumerate(expected):
                if not np.array_equal(values[row_splits[i] : row_splits[i + 1]], row):
                    self.mismatches += 1
                    if self.mismatches <= 10:
                        print(f"differs ({name}): {texts[i][:400]!r}", flush=True)


def with_extra_ids(model: bytes, extra_ids: int) -> bytes:
    """`model` as SeqIO extends it."""
    return tokenizer_module.Tokenizer(model, extra_ids=extra_ids).serialized_model()


def run(arguments: argparse.Namespace) -> int:
    """Compares and prints; returns how many texts differ."""
    model = pathlib.Path(arguments.model).read_bytes()
    mismatches = 0
    for extra_ids in (0, _EXTRA_IDS):
        version, encode = _REFERENCES[arguments.reference](with_extra_ids(model, extra_ids))
        semantics = semantics_of(arguments.reference, version)
        comparison = Comparison(model, extra_ids, semantics, encode)
        start = time.monotonic()
        # The sentinels decide nothing in ordinary text: a tenth of it is enough.
        share = 0.1 if extra_ids else 0.9
        for batch in batches(lines_and_documents(arguments.corpus)):
            if comparison.tokens >= share * arguments.max_tokens:
                break
            comparison.compare(batch)
        fuzz = tokenizer_fuzz_texts.texts(arguments.seed + extra_ids, arguments.fuzz_texts // 2)
        huge = tokenizer_fuzz_texts.huge_texts(arguments.seed + extra_ids)
        for batch in batches(itertools.chain(fuzz, huge)):
            comparison.compare(batch)
        print(
            f"{arguments.reference} {version} ({semantics}), {extra_ids} extra ids: "
            f"{comparison.mismatches} of {comparison.texts} texts differ, "
            f"{comparison.tokens / 1e6:.1f} M tokens, {time.monotonic() - start:.0f} s",
            flush=True,
        )
        mismatches += comparison.mismatches
    return mismatches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="a .model file")
    parser.add_argument("--reference", choices=list(_REFERENCES), default="sentencepiece")
    parser.add_argument(
        "--corpus", type=lambda paths: paths.split(","), default=[], help="text files, by comma"
    )
    parser.add_argument("--max_tokens", type=float, default=1e8, help="of the corpus")
    parser.add_argument("--fuzz_texts", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--python_file", help="a file that names the interpreter to run this with")
    arguments = parser.parse_args()
    if arguments.python_file:
        python = pathlib.Path(arguments.python_file).read_text().strip()
        rest = [text for text in sys.argv[1:] if not text.startswith("--python_file=")]
        os.execv(python, [python, __file__, *rest])
    sys.exit(1 if run(arguments) else 0)


if __name__ == "__main__":
    main()
