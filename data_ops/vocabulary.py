# SPDX-License-Identifier: Apache-2.0
"""A SentencePiece vocabulary with SeqIO's interface and without SeqIO's imports.

Encoding and decoding go through the C++ tokenizer. Neither TensorFlow nor SeqIO is loaded until
`encode_tf`, `decode_tf` or `as_seqio` is called. The module knows nothing of tasks or lengths.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging
from etils import epath

from data_ops.tokenizer import tokenizer_module

if TYPE_CHECKING:
    import tensorflow as tf

    from data_ops import seqio_vocabulary

PAD_ID = 0

# functools.cache alone would let two threads load the same file at once.
_load_lock = threading.Lock()


class SentencePieceVocabulary:
    """Text to ids and back with one .model file: `seqio.SentencePieceVocabulary`, eagerly.

    The model is loaded at the first use, once per process. Two vocabularies are equal when they
    give the same ids to every text and agree on which of them are extra, whatever their paths. A
    `seqio.SentencePieceVocabulary` can be such an equal, on the right-hand side; on the left,
    compare with `as_seqio()`, because SeqIO's comparison refuses foreign classes.
    """

    def __init__(
        self,
        sentencepiece_model_file: str,
        extra_ids: int | None = 0,
        *,
        reverse_extra_ids: bool = True,
    ):
        """Remembers what to load.

        Args:
          sentencepiece_model_file: path of the model, local or of a scheme that `etils.epath`
            opens (such as gs://).
          extra_ids: sentinels `<extra_id_N>` to append after the pieces of the model, as SeqIO
            does; 0 or None for a model that already holds them.
          reverse_extra_ids: whether `<extra_id_0>` is the last id, as T5's span corruption wants.
        """
        self._sentencepiece_model_file = str(sentencepiece_model_file)
        self._extra_ids = extra_ids or 0
        self._reverse_extra_ids = reverse_extra_ids

    @property
    def _spelling(self) -> tuple[str, int, bool]:
        return self._sentencepiece_model_file, self._extra_ids, self._reverse_extra_ids

    @property
    def sentencepiece_model_file(self) -> str:
        return self._sentencepiece_model_file

    @property
    def extra_ids(self) -> int:
        """How many sentinels were appended to the model."""
        return self._extra_ids

    @property
    def reverse_extra_ids(self) -> bool:
        return self._reverse_extra_ids

    @property
    def tokenizer(self) -> tokenizer_module.Tokenizer:
        """The tokenizer, with the batch interface.

        Raises:
          FileNotFoundError: there is no file at the path.
          ValueError: the file is not a SentencePiece model, or `extra_ids` does not fit it.
        """
        with _load_lock:
            return _load(*self._spelling)

    def load_model(self) -> None:
        """Loads the model now, so that a wrong path shows at once; raises as `tokenizer`."""
        _ = self.tokenizer

    @property
    def sp_model(self) -> bytes:
        """The serialized model with the extra ids in it."""
        return self.tokenizer.serialized_model()

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of `sp_model`: names the vocabulary whatever its path."""
        with _load_lock:
            return _fingerprint(*self._spelling)

    @property
    def vocab_size(self) -> int:
        """Number of ids, extra ids included."""
        return self.tokenizer.vocab_size

    @property
    def pad_id(self) -> int:
        """0 whatever the model says, as in SeqIO."""
        return PAD_ID

    @property
    def bos_id(self) -> int:
        """-1 where the model has no such symbol (T5's has none)."""
        return self.tokenizer.bos_id

    @property
    def eos_id(self) -> int:
        return self.tokenizer.eos_id

    @property
    def unk_id(self) -> int:
        return self.tokenizer.unk_id

    def encode(self, s: str | bytes) -> list[int]:
        """Ids of a text, without EOS."""
        return self.tokenizer.encode(s)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids up to the first EOS.

        Args:
          ids: integers [L]: a list, an iterator, an array or an eager tensor. Ids beyond the
            vocabulary (the padding rows of an embedding) read as UNK.

        Raises:
          IndexError: an id is negative.
        """
        # Iterating over a device array or an eager tensor makes a scalar of the same kind each.
        rows = np.asarray(ids if hasattr(ids, "__array__") else list(ids)).tolist()
        tokenizer = self.tokenizer
        known = [int(i) if i < tokenizer.vocab_size else tokenizer.unk_id for i in rows]
        if tokenizer.eos_id in known:
            known = known[: known.index(tokenizer.eos_id) + 1]
        return tokenizer.decode(known)

    def as_seqio(self) -> seqio_vocabulary.SeqioSentencePieceVocabulary:
        """The same as a `seqio.SentencePieceVocabulary`; imports SeqIO and TensorFlow."""
        from data_ops import seqio_vocabulary

        return seqio_vocabulary.SeqioSentencePieceVocabulary(self)

    def encode_tf(self, s: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Ids of a tensor of strings, as `SeqioSentencePieceVocabulary.encode_tf`."""
        return self.as_seqio().encode_tf(s)

    def decode_tf(self, ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """Texts of a tensor of ids up to the first EOS of each row."""
        return self.as_seqio().decode_tf(ids)

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, SentencePieceVocabulary) and self._spelling == other._spelling:
            return True
        # SeqIO's vocabularies carry both, and must not be imported to find out.
        if not (hasattr(other, "sp_model") and hasattr(other, "extra_ids")):
            return NotImplemented
        return self.extra_ids == other.extra_ids and self.sp_model == other.sp_model

    def __hash__(self) -> int:
        return hash((self.extra_ids, self.fingerprint))

    def __repr__(self) -> str:
        return (
            f"SentencePieceVocabulary({self._sentencepiece_model_file!r}, "
            f"extra_ids={self._extra_ids}, reverse_extra_ids={self._reverse_extra_ids})"
        )


@functools.cache
def _load(path: str, extra_ids: int, reverse_extra_ids: bool) -> tokenizer_module.Tokenizer:
    try:
        model = epath.Path(path).read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no SentencePiece model at {path!r}; set sentencepiece_model_file of the "
            "vocabulary (in gin, seqio.SentencePieceVocabulary.sentencepiece_model_file) to a "
            ".model file."
        ) from error
    try:
        tokenizer = tokenizer_module.Tokenizer(
            model, extra_ids=extra_ids, reverse_extra_ids=reverse_extra_ids
        )
    except ValueError as error:
        raise ValueError(f"vocabulary {path!r}: {error}") from error
    if tokenizer.pad_id != PAD_ID:
        logging.warning(
            "vocabulary %r: pads with id %d, but T5 pads with %d, and so do we.",
            path,
            tokenizer.pad_id,
            PAD_ID,
        )
    return tokenizer


@functools.cache
def _fingerprint(path: str, extra_ids: int, reverse_extra_ids: bool) -> str:
    model = _load(path, extra_ids, reverse_extra_ids).serialized_model()
    return hashlib.sha256(model).hexdigest()
