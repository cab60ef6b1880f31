# SPDX-License-Identifier: Apache-2.0
"""The attributes of one `pod_launch` target, checked, and the variables inside its arguments.

Knows no platform: what a script or a manifest looks like is the generators' affair.
"""

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

PLATFORMS = ("tpu", "slurm", "jobset")

_VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_LABEL = re.compile(r"//(?P<package>[A-Za-z0-9_./-]*):(?P<name>[A-Za-z0-9_./-]+)")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Part(NamedTuple):
    """A piece of an argument: literal text, or the name of a variable."""

    text: str
    is_variable: bool


def parts(argument: str) -> Iterator[Part]:
    """Splits an argument at its `${NAME}` variables; empty literals are left out."""
    for position, text in enumerate(_VARIABLE.split(argument)):
        if position % 2 or text:
            yield Part(text, bool(position % 2))


@dataclasses.dataclass(frozen=True)
class Spec:
    """What `pod_launch` was given.

    Attributes:
        name: of the target, and of the run.
        binary: Bazel label of the program, `//package:name`.
        platform: one of PLATFORMS.
        accelerator: a TPU slice (v4-32), or the GPUs of one node (a100:8).
        args: flags of the program; `${NAME}` is a variable set at launch.
        zone: where the TPU is made when ZONE is not set.
        version: software version of the TPU VM, instead of the generation's usual one.
        workers: number of hosts; for a TPU it follows from the slice and may be left out.
        image: container image of a JobSet.
    """

    name: str
    binary: str
    platform: str
    accelerator: str
    args: Sequence[str] = ()
    zone: str | None = None
    version: str | None = None
    workers: int | None = None
    image: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} may hold only letters, digits and _")
        if not _LABEL.fullmatch(self.binary):
            raise ValueError(f"binary {self.binary!r} is not a label like //prompt_tuning:train")
        if self.platform not in PLATFORMS:
            near = difflib.get_close_matches(self.platform, PLATFORMS, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"platform {self.platform!r} is not known, did you mean {near!r}? "
                f"Accepted are {', '.join(PLATFORMS)}."
            )
        if any("\0" in argument for argument in self.args):
            raise ValueError("an argument of args holds a NUL, which no program can be given")
        if self.image and self.platform != "jobset":
            raise ValueError(f"image={self.image!r} is used by platform jobset alone; remove it")

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> "Spec":
        """Makes a Spec from a mapping, as JSON gives it.

        Raises:
            ValueError: an attribute is unknown, missing, or cannot be.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in attributes:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
                raise ValueError(f"attribute {name!r} is not known, did you mean {near!r}?")
        missing = [name for name in known[:4] if name not in attributes]
        if missing:
            raise ValueError(f"attributes {', '.join(missing)} are not given")
        return cls(**attributes)

    @property
    def binary_path(self) -> str:
        """Path of the built program below bazel-bin."""
        return self.binary.removeprefix("//").replace(":", "/").lstrip("/")

    @property
    def variables(self) -> dict[str, str]:
        """`{variable: the flag that first uses it}` in order of appearance."""
        found: dict[str, str] = {}
        for argument in self.args:
            for part in parts(argument):
                if part.is_variable:
                    flag, equals, _ = argument.partition("=")
                    found.setdefault(part.text, flag if equals and "$" not in flag else "a flag")
        return found

    def check_workers(self, hosts: int) -> None:
        """Refuses a number of workers that the slice does not have.

        Raises:
            ValueError: `workers` is given and is not `hosts`.
        """
        if self.workers not in (None, hosts):
            raise ValueError(
                f"workers={self.workers!r}, but {self.accelerator} has {hosts} hosts. Remove the "
                "attribute workers, or change accelerator."
            )
