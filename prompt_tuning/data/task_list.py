# SPDX-License-Identifier: Apache-2.0
"""Writes docs/tasks.md, the table of every task over a public dataset, and the list of their names.

bazel run //prompt_tuning/data:task_list -- $PWD/docs/tasks.md $PWD/prompt_tuning/data/task_names.txt
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence

from absl import app

from prompt_tuning.data import metrics, ranking, task_spec, task_table

HEADER = """<!-- Made by //prompt_tuning/data:task_list from the tables in prompt_tuning/data. -->

# Tasks over public datasets

`--task` (or the gin macro `MIXTURE_OR_TASK_NAME`) takes each of these names, and
`MIXTURE_OR_TASK_MODULE` may stay empty. The names, texts and metrics are those of T5 and
prompt-tuning. A run downloads nothing: the dataset of a task must be prepared in `--tfds_data_dir`.
`bazel run //prompt_tuning/data:make_tfds` prepares it from local files, or with `--download` from the
network (docs/data.md).

The tokens are those of the model's vocabulary. A family that says *mt5\\_, byt5\\_* has every name
once more with each of these prefixes. Metrics are in percent. `text` stands for examples and
predictions to read.
"""


def main(argv: Sequence[str]) -> None:
    if len(argv) != 3:
        raise app.UsageError(f"got arguments {argv[1:]}; the two files to write are accepted.")
    _write(argv[1], render())
    _write(argv[2], names())


def _write(path: str, text: str) -> None:
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.tmp", path)


def names() -> str:
    """A name in each line."""
    return "".join(f"{name}\n" for name in sorted(task_table.specs()))


def render() -> str:
    """The whole document."""
    return "\n".join([HEADER, *(line for family in task_table.FAMILIES for line in _part(family))])


def metric_name(metric: Callable) -> str:
    """What a metric function measures, in a word."""
    if isinstance(metric, functools.partial):
        if metric.func is metrics.metric_with_examples:
            return metric_name(metric.args[0])
        if metric.func is ranking.prefix_metric_names:
            inner = metric_name(metric.keywords["metric_fn"])
            return inner.replace("normalized", metric.keywords["metric_prefix"])
        if metric.func is ranking.rank_classification:
            normed = metric.keywords.get("normalize_by_target_length")
            return "rank_classification (normalized)" if normed else "rank_classification"
        return metric_name(metric.func)
    return "text" if metric is metrics.text_examples else metric.__name__


def _part(family) -> Iterator[str]:
    specs = list(family.specs())
    prefixed = any(spec.model for spec in specs)
    title, _, _ = family.__doc__.partition("\n")
    yield f"## {family.__name__.rpartition('.')[2]}\n"
    yield f"{title}\n"
    if prefixed:
        yield "Also with *mt5\\_, byt5\\_*.\n"
    plain = [spec for spec in specs if not spec.model]
    yield from _table(
        ("task", "dataset", "splits", "metrics"),
        [_task_row(spec) for spec in plain if isinstance(spec, task_spec.TaskSpec)],
    )
    mixtures = [spec for spec in plain if isinstance(spec, task_spec.MixtureSpec)]
    if mixtures:
        yield from _table(("mixture", "members"), [_mixture_row(spec) for spec in mixtures])


def _task_row(spec: task_spec.TaskSpec) -> tuple[str, ...]:
    splits = spec.splits
    if splits is None:
        shown = "all"
    elif isinstance(splits, dict):
        shown = ", ".join(k if k == v else f"{k} = `{v}`" for k, v in splits.items())
    else:
        shown = ", ".join(splits)
    measured = ", ".join(metric_name(metric) for metric in spec.metric_fns) or "none"
    return f"`{spec.name}`", spec.dataset, shown, measured


def _mixture_row(spec: task_spec.MixtureSpec) -> tuple[str, ...]:
    equal = len(set(spec.rates.values())) == 1
    return f"`{spec.name}`", ", ".join(
        f"`{name}`" if equal else f"`{name}` ({rate:g})" for name, rate in spec.rates.items()
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


if __name__ == "__main__":
    app.run(main)
