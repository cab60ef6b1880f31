# SPDX-License-Identifier: Apache-2.0
"""The C++ tokenizer as a `seqio.SentencePieceVocabulary`, for features and for tf.data graphs.

The one module of this package that imports SeqIO and TensorFlow. It adds tensors to what
`vocabulary` does eagerly, and decides nothing about ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from data_ops import vocabulary
from data_ops.tokenizer import tokenizer_module


class SeqioSentencePieceVocabulary(seqio.SentencePieceVocabulary):
    """A SeqIO vocabulary whose every encoding and decoding is the C++ tokenizer's.

    In graphs the tokenizer is a numpy function, which has two consequences: a graph that holds it
    runs only in the process that made it, and each call costs tens of microseconds, so encode
    batches (`dataset.batch(n).map(encode_tf)`) rather than single strings.

    Equality is that of `vocabulary.SentencePieceVocabulary`, and as a subclass this one is also
    asked when it stands to the right of a plain `seqio.SentencePieceVocabulary`.
    """

    def __init__(self, eager: vocabulary.SentencePieceVocabulary):
        super().__init__(
            eager.sentencepiece_model_file,
            extra_ids=eager.extra_ids,
            reverse_extra_ids=eager.reverse_extra_ids,
        )
        self._eager = eager

    @property
    def tokenizer(self) -> tokenizer_module.Tokenizer:
        return self._eager.tokenizer

    @property
    def sp_model(self) -> bytes:
        return self._eager.sp_model

    def load_model(self) -> None:
        self._eager.load_model()

    @property
    def bos_id(self) -> int:
        return self._eager.bos_id

    @property
    def eos_id(self) -> int:
        return self._eager.eos_id

    @property
    def unk_id(self) -> int:
        return self._eager.unk_id

    @property
    def _base_vocab_size(self) -> int:
        return self._eager.vocab_size

    def _encode(self, s: str | bytes) -> list[int]:
        return self._eager.encode(s)

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode([int(i) for i in ids])

    def _encode_tf(self, s: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Ids of strings, one dimension more than `s`.

        Args:
          s: strings of any known rank, dense or ragged.

        Returns:
          int32: a dense [L] for a scalar, ragged [..., None] otherwise.
        """
        if isinstance(s, tf.RaggedTensor):
            return s.with_flat_values(self._encode_tf(s.flat_values))
        s = tf.convert_to_tensor(s, dtype=tf.string)
        if s.shape.rank is None:
            raise ValueError(
                "the strings to encode have unknown rank; set their shape first, for example "
                "with tf.ensure_shape."
            )
        if s.shape.rank == 0:
            values, _ = self._encode_rows(s[tf.newaxis])
            return values
        if s.shape.rank == 1:
            values, row_splits = self._encode_rows(s)
            return tf.RaggedTensor.from_row_splits(values, row_splits, validate=False)
        return self._encode_tf(tf.RaggedTensor.from_tensor(s, ragged_rank=s.shape.rank - 1))

    def _decode_tf(self, ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Texts of ids, one dimension less than `ids`.

        Args:
          ids: integers of rank 1 or more, dense or ragged.

        Returns:
          Strings: a scalar for [L], else of the shape of `ids` without its last dimension.
        """
        if isinstance(ids, tf.RaggedTensor):
            if ids.ragged_rank > 1 or ids.flat_values.shape.rank > 1:
                return ids.with_values(self._decode_tf(ids.values))
            return self._decode_rows(ids.values, ids.row_splits)
        ids = tf.convert_to_tensor(ids)
        shape = tf.shape(ids, out_type=tf.int64)
        rows = tf.reduce_prod(shape[:-1])
        row_splits = tf.range(rows + 1) * shape[-1]
        texts = tf.reshape(self._decode_rows(tf.reshape(ids, [-1]), row_splits), shape[:-1])
        return tf.ensure_shape(texts, ids.shape[:-1])

    def _encode_rows(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Strings [B] -> (int32 [sum], int64 row splits [B + 1])."""
        values, row_splits = tf.numpy_function(
            self.tokenizer.encode_batch,
            [texts],
            (tf.int32, tf.int64),
            stateful=False,
        )
        size = texts.shape[0]
        return (
            tf.ensure_shape(values, [None]),
            tf.ensure_shape(row_splits, [None if size is None else size + 1]),
        )

    def _decode_rows(self, values: tf.Tensor, row_splits: tf.Tensor) -> tf.Tensor:
        """Ids [sum] and row splits [B + 1] -> strings [B]."""

        def decode(values: np.ndarray, row_splits: np.ndarray) -> np.ndarray:
            texts = self.tokenizer.decode_ragged(values, row_splits)
            # A fixed-width bytes array would lose the NULs at the end of a text.
            return np.array([text.encode() for text in texts], dtype=object)

        texts = tf.numpy_function(decode, [values, row_splits], tf.string, stateful=False)
        return tf.ensure_shape(texts, [None])

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, SeqioSentencePieceVocabulary):
            other = other._eager
        return self._eager == other

    def __hash__(self) -> int:
        return hash(self._eager)

    def __str__(self) -> str:
        return repr(self._eager)
