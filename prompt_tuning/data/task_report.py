# SPDX-License-Identifier: Apache-2.0
"""What is in a split: how many examples, how long in tokens, how many of each label.

A run over texts says it before it trains, from the tokens that it has anyway; `//prompt_tuning:
show_task` says it of any task, with examples and histograms. Knows no model.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio

from prompt_tuning.data import cached_task, text_source, token_rows

# Targets with more different texts than this are no classes.
_MAX_CLASSES = 50
# So many of them are shown one by one, and so much of one that is a long text.
_SHOWN_CLASSES = 12
_MAX_LABEL = 40
_BAR = 40


@dataclasses.dataclass(frozen=True)
class Report:
    """Figures of one split.

    Attributes:
      task: its name.
      split: its name.
      lengths: {"inputs": int [n], "targets": int [n]}, tokens with EOS, before anything is cut.
      limits: {"inputs": T, "targets": L}, or None when the longest example decides.
      classes: {target text: number of examples}; None where targets are free text.
      skipped: bad rows that were left out.
      more: whether the split goes on behind the examples that were looked at.
    """

    task: str
    split: str
    lengths: Mapping[str, np.ndarray]
    limits: Mapping[str, int] | None
    classes: Mapping[str, int] | None
    skipped: int = 0
    more: bool = False

    @property
    def num_examples(self) -> int:
        return len(self.lengths["inputs"])

    def truncated(self, feature: str) -> int:
        """How many examples are longer than the limit of "inputs" or "targets"."""
        return int((self.lengths[feature] > self.limits[feature]).sum()) if self.limits else 0

    def figures(self) -> dict[str, Any]:
        """What `summary.json` keeps of the training split."""
        return {
            "train_examples": self.num_examples,
            "train_rows_skipped": self.skipped,
            "train_inputs_truncated": self.truncated("inputs"),
            "train_targets_truncated": self.truncated("targets"),
        }

    def text(self) -> str:
        """A line for the split, the labels, the inputs and the targets."""
        size = f"{self.num_examples:,} examples" + (" (there are more)" if self.more else "")
        skipped = f", {self.skipped:,} bad rows left out" if self.skipped else ""
        lines = [f"{self.task}, split {self.split}: {size}{skipped}"]
        if self.classes is not None:
            lines.append(f"  labels   {self._classes_text(self.classes)}")
        return "\n".join(lines + [self._length_text(name) for name in self.lengths])

    def histogram(self, feature: str) -> str:
        """A line for each bucket of lengths that training would use, with its share as a bar."""
        lengths = self.lengths[feature]
        edges = token_rows.geometric_buckets(int(lengths.max(initial=1)), smallest=4)
        counts = np.bincount(np.searchsorted(edges, lengths), minlength=len(edges))
        shares = counts / max(1, len(lengths))
        lower = (0, *edges)
        return "\n".join(
            f"  {low + 1:>6,} to {high:>6,}  {share:6.1%}  {'#' * round(_BAR * share)}".rstrip()
            for low, high, share in zip(lower, edges, shares, strict=False)
        )

    def _classes_text(self, classes: Mapping[str, int]) -> str:
        total = max(1, self.num_examples)
        first = itertools.islice(classes.items(), _SHOWN_CLASSES)
        shown = "  ".join(
            f"{_short(label)!r} {count:,} ({count / total:.1%})" for label, count in first
        )
        if (more := len(classes) - _SHOWN_CLASSES) > 0:
            shown += f"  and {more} more"
        other = self.num_examples - sum(classes.values())
        return shown + (f"  other {other:,} ({other / total:.1%})" if other else "")

    def _length_text(self, feature: str) -> str:
        lengths = self.lengths[feature]
        low, middle, most, high = np.percentile(lengths, [0, 50, 95, 100], method="lower")
        text = f"  {feature:<8} {low} to {high} tokens, median {middle}, 95 % up to {most}"
        if self.limits and (cut := self.truncated(feature)):
            limit, share = self.limits[feature], cut / len(lengths)
            text += f"; {cut:,} ({share:.2%}) longer than {limit} are cut: --{feature}_length"
        return text


def of_text_task(
    task: seqio.Task, split: str, limits: Mapping[str, int] | None = None
) -> Report | None:
    """The report on a task over texts, from its tokens; None for any other task."""
    source = getattr(task, "source", None)
    if not isinstance(source, text_source.TextSource):
        return None
    tokens = source.tokens(split)
    lengths = {
        name: np.diff(tokens[name].row_splits) + task.output_features[name].add_eos
        for name in token_rows.TASK_FEATURES
    }
    classes = None
    if source.label_words:
        words = text_source.tokenize(task.output_features["targets"].vocabulary, source.label_words)
        counts = _count_rows(tokens["targets"], words)
        classes = dict(zip(source.label_words, counts, strict=True))
    return Report(task.name, split, lengths, limits, classes, source.skipped(split))


def of_any_task(
    task: seqio.Task | seqio.Mixture,
    split: str,
    limits: Mapping[str, int] | None = None,
    max_examples: int | None = None,
    shown: int = 0,
    use_cached: bool = False,
) -> tuple[Report, list[Mapping[str, Any]]]:
    """The report on any task or mixture, read through SeqIO, and its first examples.

    Args:
      task: registered.
      split: of it.
      limits: lengths; examples are measured before they are cut to them.
      max_examples: how many to look at; None: all.
      shown: how many examples to return, as SeqIO gives them.
      use_cached: read SeqIO's cache of the task.

    Raises:
      ValueError: the task has no such split.
      FileNotFoundError: a dataset is not prepared, or a cache is not there.
    """
    if use_cached:
        cached_task.check(task, split)
    if split not in task.splits:
        raise ValueError(
            f"the task {task.name!r} has no split {split!r}; it has {', '.join(task.splits)}: "
            "--split."
        )
    examples = _examples(task, split, use_cached)
    source = getattr(task, "source", None)
    label_words = source.label_words if isinstance(source, text_source.TextSource) else ()
    kept, lengths = [], collections.defaultdict(list)
    targets: collections.Counter[str] = collections.Counter()
    for number, example in enumerate(itertools.islice(examples, max_examples)):
        if number < shown:
            kept.append(example)
        for name in token_rows.TASK_FEATURES:
            lengths[name].append(len(example[name]))
        if label_words or len(targets) <= _MAX_CLASSES:
            targets[text_of(task, example, "targets")] += 1
    if not lengths:
        raise ValueError(f"the task {task.name!r} has no example in its split {split!r}: --split.")
    return Report(
        task.name,
        split,
        {name: np.array(values) for name, values in lengths.items()},
        limits,
        _classes(targets, label_words),
        source.skipped(split) if isinstance(source, text_source.TextSource) else 0,
        more=next(examples, None) is not None,
    ), kept


def _classes(
    targets: collections.Counter[str], label_words: Sequence[str]
) -> dict[str, int] | None:
    """{label: count}: of the task's labels, without them of all targets if those are few."""
    if label_words:
        return {word: targets[word] for word in label_words}
    return dict(targets.most_common()) if len(targets) <= _MAX_CLASSES else None


def _short(label: str) -> str:
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 3]}..."


def text_of(task: seqio.Task | seqio.Mixture, example: Mapping[str, Any], feature: str) -> str:
    """The text of a feature: what was tokenised, else its tokens decoded."""
    text = example.get(f"{feature}_pretokenized")
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    return task.output_features[feature].vocabulary.decode([int(i) for i in example[feature]])


def shown_example(
    task: seqio.Task | seqio.Mixture,
    example: Mapping[str, Any],
    limits: Mapping[str, int] | None = None,
) -> str:
    """An example for people: texts, ids, lengths, and where they would be cut."""
    lines = []
    for name in token_rows.TASK_FEATURES:
        ids = [int(i) for i in example[name]]
        limit = limits[name] if limits else len(ids)
        cut = f", cut to {limit}" if len(ids) > limit else ""
        lines.append(f"  {name} ({len(ids)} tokens{cut}): {text_of(task, example, name)!r}")
        lines.append(f"    ids: {ids[:limit]}")
    return "\n".join(lines)


def _examples(
    task: seqio.Task | seqio.Mixture, split: str, use_cached: bool
) -> Iterator[Mapping[str, Any]]:
    dataset = task.get_dataset(None, split, use_cached=use_cached, shuffle=False, num_epochs=1)
    return dataset.as_numpy_iterator()


def _count_rows(rows: token_rows.TokenRows, words: token_rows.TokenRows) -> Sequence[int]:
    """How many of `rows` are equal to each of `words`."""
    lengths, counts = np.diff(rows.row_splits), []
    for start, end in itertools.pairwise(words.row_splits):
        starts = rows.row_splits[:-1][lengths == end - start]
        equal = np.ones(len(starts), bool)
        for offset, token in enumerate(words.values[start:end]):
            equal &= rows.values[starts + offset] == token
        counts.append(int(equal.sum()))
    return counts
