# SPDX-License-Identifier: Apache-2.0
"""World text as token ids, for pre-training and for the checks of its result."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_ops import vocabulary as vocabulary_lib
from prompt_tuning.bundled import bundled, lexicon, world
from prompt_tuning.bundled.pretraining import objectives


def vocabulary() -> vocabulary_lib.SentencePieceVocabulary:
    """The bundled vocabulary, with its sentinels."""
    return vocabulary_lib.SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)


def encode(texts: Sequence[str]) -> list[np.ndarray]:
    """Token ids of each text, int32 [*], without EOS."""
    values, row_splits = vocabulary().tokenizer.encode_batch(list(texts))
    return np.split(values, row_splits[1:-1])


@dataclasses.dataclass(frozen=True)
class LabelledTokens:
    """Examples of the classification task.

    Attributes:
      inputs: int32 [n, T], padded, without EOS.
      labels: int32 [n], ids into `lexicon.LABELS`.
    """

    inputs: np.ndarray
    labels: np.ndarray


def classification(split: str, n: int, seed: int = 0, suffix: str = "") -> LabelledTokens:
    """`n` examples of a split; `suffix` is appended to each text."""
    examples = world.classification_examples(split, n, seed)
    inputs = objectives.pad(
        encode([text + suffix for text, _ in examples]), objectives.Lengths().inputs + 8
    )
    labels = np.array([lexicon.LABELS.index(label) for _, label in examples], np.int32)
    return LabelledTokens(inputs, labels)


def label_tokens() -> np.ndarray:
    """The label words as targets, int32 [C, 2]: the word, then EOS."""
    return np.stack(
        [np.append(tokens, np.int32(objectives.EOS_ID)) for tokens in encode(lexicon.LABELS)]
    )
