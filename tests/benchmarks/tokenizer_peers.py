# SPDX-License-Identifier: Apache-2.0
"""One environment's tokenizers, timed on request: the measuring half of tokenizer_benchmark.

A worker lives in one environment and holds one number of threads, because Rust's and TensorFlow's
pools are set once per process. It reads one JSON request per line and answers with one line, so
that the driver can let the workers of several environments take turns. Requests name a variant, a
corpus and whether the tokenizer is to be new ("cold") or one that has seen the corpus ("warm").
"""

import argparse
import binascii
import itertools
import json
import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Rows = list[np.ndarray]
# Encodes all texts; what it returns is unpacked by a second function, which is not timed.
Encode = Callable[[Sequence[bytes]], Any]
Variant = tuple[Encode, Callable[[Any], Rows]]

_TEXTS_PER_CALL = 2048


def ragged(result: tuple[np.ndarray, np.ndarray]) -> Rows:
    """Rows of (values, row_splits)."""
    values, row_splits = result
    return [values[a:b] for a, b in itertools.pairwise(row_splits)]


def _ours(model: bytes, threads: int, width: int | None = None) -> Variant:
    from data_ops.tokenizer import tokenizer_module

    tokenizer = tokenizer_module.Tokenizer(model, num_threads=threads)
    if width is not None:
        unpad = lambda ids: [row[: np.count_nonzero(row)] for row in ids]
        return lambda texts: tokenizer.encode_padded(texts, width, eos=None), unpad
    return tokenizer.encode_batch, ragged


def _tensorflow_text(model: bytes, threads: int) -> Variant:
    import tensorflow as tf
    import tensorflow_text

    tokenizer = tensorflow_text.SentencepieceTokenizer(model)

    def encode(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        rows = tokenizer.tokenize(tf.constant(texts))
        return rows.values.numpy(), rows.row_splits.numpy()

    return encode, ragged


def _seqio_map(model: bytes, threads: int, path: str) -> Variant:
    import seqio
    import tensorflow as tf

    vocabulary = seqio.SentencePieceVocabulary(path)

    def encode(texts: Sequence[bytes]) -> Rows:
        dataset = tf.data.Dataset.from_tensor_slices(texts)
        dataset = dataset.map(vocabulary.encode_tf, num_parallel_calls=threads).ragged_batch(512)
        return [(batch.values.numpy(), batch.row_splits.numpy()) for batch in dataset]

    return encode, lambda batches: [row for batch in batches for row in ragged(batch)]


def _sentencepiece(model: bytes, threads: int, **options) -> Variant:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    encode = lambda texts: processor.encode(texts, num_threads=threads, **options)
    return encode, lambda rows: [np.asarray(row) for row in rows]


def _hugging_face(model: bytes, threads: int, path: str) -> Variant:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(path)
    encode = lambda texts: tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return encode, lambda rows: [np.asarray(row.ids) for row in rows]


def _splintr(model: bytes, threads: int, path: str) -> Variant:
    import splintr

    tokenizer = splintr.from_json(path)

    def rows(result: tuple[bytes, bytes]) -> Rows:
        return ragged((np.frombuffer(result[0], "<u4"), np.frombuffer(result[1], "<u8")))

    return tokenizer.encode_batch_flat, rows


def _tokie(model: bytes, threads: int, path: str) -> Variant:
    import tokie

    tokenizer = tokie.Tokenizer.from_json(path)
    encode = lambda texts: tokenizer.encode_batch_flat(texts, add_special_tokens=False)
    return encode, lambda result: ragged((result[0], np.cumsum([0, *result[1].tolist()])))


def variants(model_path: str, json_path: str, threads: int) -> dict[str, Callable[[], Variant]]:
    """name -> maker of a new tokenizer, for all environments; most will not import here."""
    model = pathlib.Path(model_path).read_bytes()
    return {
        "ours, ragged": lambda: _ours(model, threads),
        "ours, padded to 128": lambda: _ours(model, threads, 128),
        "ours, padded to 256": lambda: _ours(model, threads, 256),
        "tensorflow_text, eager": lambda: _tensorflow_text(model, threads),
        "seqio, in-graph map": lambda: _seqio_map(model, threads, model_path),
        "sentencepiece, lists": lambda: _sentencepiece(model, threads),
        "sentencepiece, numpy": lambda: _sentencepiece(model, threads, return_type="numpy"),
        "HF tokenizers": lambda: _hugging_face(model, threads, json_path),
        "splintr": lambda: _splintr(model, threads, json_path),
        "tokie": lambda: _tokie(model, threads, json_path),
    }


def read_texts(path: str, max_bytes: int) -> list[bytes]:
    """The lines of a file, or what NULs separate in a .bin file, up to about `max_bytes`."""
    separator = b"\0" if path.endswith(".bin") else b"\n"
    with open(path, "rb") as file:
        return [text for text in file.read(max_bytes).split(separator)[:-1] if text]


def write_tokenizer_json(model_path: str, json_path: str) -> None:
    """What the Rust tokenizers load: a .model file, converted as for T5. Needs `tokenizers`."""
    import tokenizers
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import models, normalizers, pre_tokenizers

    proto = sentencepiece_model_pb2.ModelProto.FromString(pathlib.Path(model_path).read_bytes())
    vocabulary = [(piece.piece, piece.score) for piece in proto.pieces]
    unk_id = next(i for i, piece in enumerate(proto.pieces) if piece.type == piece.UNKNOWN)
    tokenizer = tokenizers.Tokenizer(models.Unigram(vocabulary, unk_id, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("\u2581", "always")]
    )
    tokenizer.save(json_path)


class Worker:
    """Answers requests; keeps the tokenizers that have seen a corpus."""

    def __init__(self, model_path: str, json_path: str, threads: int):
        self._variants = variants(model_path, json_path, threads)
        self._warm: dict[tuple[str, str], Variant] = {}
        self._texts: dict[tuple[str, int, bool], Any] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Times one encoding of a corpus: CPU seconds, wall seconds, MB and tokens."""
        path, limit, name = request["corpus"], request["max_bytes"], request["variant"]
        key = (name, path)
        texts = self._read(path, limit, as_str=not name.startswith(("tensorflow", "seqio")))
        if request["cold"]:
            self._warm[key] = self._variants[name]()
        encode, to_rows = self._warm[key]
        # A data set is one call; tokenizers are called as in a loop over batches, which uses one
        # batch before it asks for the next.
        size = len(texts) if name.startswith("seqio") else _TEXTS_PER_CALL
        calls = [texts[i : i + size] for i in range(0, len(texts), size)]
        # Faults of memory that TensorFlow or Rust take first are a part of being cold.
        wall, cpu = time.perf_counter(), _cpu_seconds()
        for call in calls:
            encode(call)
        wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
        answer = {"cpu": cpu, "wall": wall, "texts": len(texts)}
        answer["megabytes"] = sum(len(t.encode() if isinstance(t, str) else t) for t in texts) / 1e6
        if request.get("rows"):
            rows = [row for call in calls for row in to_rows(encode(call))]
            answer["tokens"] = sum(len(row) for row in rows)
            answer["checksums"] = [binascii.crc32(row.astype("<i4").tobytes()) for row in rows]
        return answer

    def _read(self, path: str, limit: int, as_str: bool) -> Any:
        key = (path, limit, as_str)
        if key not in self._texts:
            texts = read_texts(path, limit)
            self._texts[key] = [text.decode() for text in texts] if as_str else texts
        return self._texts[key]


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--json", required=True, help="tokenizer.json of the same model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--convert", action="store_true", help="only write --json")
    arguments = parser.parse_args()
    if arguments.convert:
        write_tokenizer_json(arguments.model, arguments.json)
        return
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = str(
        arguments.threads
    )
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
    worker = Worker(arguments.model, arguments.json, arguments.threads)
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # The driver shows it and goes on without the variant.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print("ANSWER " + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
