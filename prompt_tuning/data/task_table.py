# SPDX-License-Identifier: Apache-2.0
"""Every task and mixture over a public dataset, by name, and their registration on demand.

Nothing is registered at import. Tasks that someone else registered under one of the names stay as
they are. Knows neither the bundled task nor the user's files.
"""

import functools
from collections.abc import Mapping

import seqio

from prompt_tuning.data import (
    c4,
    glue,
    glue_transfer,
    perceptron,
    qa,
    recycling,
    spot,
    summarization,
    super_glue,
    task_spec,
)

FAMILIES = (
    glue,
    super_glue,
    glue_transfer,
    qa,
    summarization,
    c4,
    spot,
    recycling,
    perceptron,
)

# Names of what this module registered -> the vocabulary it was registered with.
_registered: dict[str, seqio.Vocabulary] = {}


@functools.cache
def specs() -> Mapping[str, task_spec.Spec]:
    """{name: spec} of all of them.

    Raises:
      ValueError: two families have the same name.
    """
    table: dict[str, task_spec.Spec] = {}
    for family in FAMILIES:
        for spec in family.specs():
            if spec.name in table:
                raise ValueError(f"there are two tasks {spec.name!r}, one in {family.__name__}.")
            table[spec.name] = spec
    return table


def is_registered(name: str) -> bool:
    """Whether SeqIO knows the name."""
    return name in seqio.TaskRegistry.names() or name in seqio.MixtureRegistry.names()


def register(name: str, vocabulary: task_spec.Vocabulary | None = None) -> None:
    """Registers the task or mixture `name` and the members it needs.

    Args:
      name: in `specs`.
      vocabulary: the model's; one that differs from that of an earlier registration replaces it.
        None keeps the earlier one, or takes the published vocabulary of the model family.

    Raises:
      KeyError: there is no such name.
      ValueError: the vocabulary cannot be that of the task.
    """
    spec = specs()[name]
    if is_registered(name):
        if name not in _registered:
            return
        if vocabulary is None or _is_same(_registered[name], vocabulary):
            return
    given = task_spec.seqio_vocabulary(spec, vocabulary)
    for member in spec.members:
        register(member, vocabulary)
    spec.register(given)
    _registered[name] = given


def _is_same(registered: seqio.Vocabulary, vocabulary: task_spec.Vocabulary) -> bool:
    if hasattr(vocabulary, "as_seqio"):
        vocabulary = vocabulary.as_seqio()
    return registered == vocabulary
