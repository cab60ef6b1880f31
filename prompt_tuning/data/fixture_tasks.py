# SPDX-License-Identifier: Apache-2.0
"""Small tasks for tests: the same pairs of texts as a task of ours and as a plain SeqIO task."""

from collections.abc import Sequence

import seqio
import tensorflow as tf

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.data import file_task, tasks, text_source

PAIRS = [
    ("the plot was a delight .", "positive"),
    ("", "negative"),
    ("I did not like the service, although the room was grand and the food was fine .", "negative"),
    ("Ünïcode \u2019quotes\u2019  and\tspaces ", "something else entirely"),
    ("a" * 90, "positive"),
    ("wonderful", "negative"),
    ("the screen is superb . the battery is dreadful .", "negative"),
]
LABELS = ("negative", "positive")


def vocabulary() -> SentencePieceVocabulary:
    return SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)


def register_ours(
    name: str = "ours",
    pairs: Sequence[tuple[str, str]] = PAIRS,
    inputs_eos: bool = True,
    labels: Sequence[str] = LABELS,
) -> seqio.Task:
    """Registers a task over `TextSource` with the split "train"."""
    inputs, targets = zip(*pairs, strict=True)
    examples = file_task.Examples(list(inputs), list(targets))
    source = text_source.TextSource(lambda split: examples, ["train"], vocabulary(), labels)
    return tasks.register_text_task(name, source, vocabulary(), inputs_eos)


def register_plain(
    name: str = "plain",
    pairs: Sequence[tuple[str, str]] = PAIRS,
    inputs_eos: bool = True,
    preprocessors=(),
) -> seqio.Task:
    """Registers what a user of SeqIO alone would write, with SeqIO's own vocabulary."""
    inputs, targets = zip(*pairs, strict=True)
    pieces = seqio.SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)

    def read(split, shuffle_files, seed=None):
        del split, shuffle_files, seed
        columns = {"inputs": list(inputs), "targets": list(targets)}
        return tf.data.Dataset.from_tensor_slices(columns)

    seqio.TaskRegistry.remove(name)
    return seqio.TaskRegistry.add(
        name,
        source=seqio.FunctionDataSource(read, ["train"]),
        output_features={
            "inputs": seqio.Feature(pieces, add_eos=inputs_eos),
            "targets": seqio.Feature(pieces, add_eos=True),
        },
        preprocessors=[
            *preprocessors,
            seqio.preprocessors.tokenize,
            seqio.preprocessors.append_eos_after_trim,
        ],
    )
