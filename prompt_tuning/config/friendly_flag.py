# SPDX-License-Identifier: Apache-2.0
"""What a friendly flag is: a shorter spelling of gin macros."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

# The entry points, by the names that gin files bind.
TRAIN, EVALUATE, INFER = "train", "evaluate", "infer"
ALL = (TRAIN, EVALUATE, INFER)


@dataclasses.dataclass(frozen=True)
class Target:
    """What a flag binds: a macro or `module.name.argument`, and the gin text for the value."""

    key: str
    text: Callable[[Any], str] = repr


def fixed(text: str) -> Callable[[Any], str]:
    """The same gin text whatever the value."""
    return lambda value: text


@dataclasses.dataclass(frozen=True)
class FriendlyFlag:
    """One flag.

    Attributes:
        name: of the flag.
        kind: "string", "integer", "float", "boolean", "list", or "strings" for one that may be
            repeated.
        help: one sentence.
        default: what holds without the flag, in words.
        targets: what it binds, of that which the gin files have; none for a flag that chooses
            files.
        programs: the entry points that have it.
    """

    name: str
    kind: str
    help: str
    default: str
    targets: tuple[Target, ...]
    programs: Sequence[str] = ALL

    @property
    def macro(self) -> str:
        return self.targets[0].key if self.targets else "none"

    @property
    def example(self) -> str:
        """`--model_dir=DIR`."""
        endings = {
            "_dir": "DIR",
            "_file": "FILE",
            "base_model": "DIR",
            "checkpoint": "PATH",
            "vocabulary": "FILE",
        }
        kinds = {
            "integer": "N",
            "float": "X",
            "boolean": "true",
            "list": "A,B",
            "string": "NAME",
            "strings": "NAME=PATH",
        }
        named = [word for ending, word in endings.items() if self.name.endswith(ending)]
        return f"--{self.name}={(named or [kinds[self.kind]])[0]}"

    @property
    def full_help(self) -> str:
        return f"{self.help} Default: {self.default}. Macro: {self.macro}."


def flag(name, kind, help, default, *targets, programs=ALL) -> FriendlyFlag:
    """A flag whose targets may be bare macro names."""
    made = tuple(t if isinstance(t, Target) else Target(t) for t in targets)
    return FriendlyFlag(name, kind, help, default, made, programs)
