# SPDX-License-Identifier: Apache-2.0
"""T5X's `CheckpointConfig`: what to restore before a run, and what to save during it.

Settings that are checked when they are made, so that a mistake in a gin file ends the run before
anything heavy begins. Knows no file format.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

from prompt_tuning.config import spelling

SAVE_DTYPES = ("float32", "bfloat16", None)
RESTORE_DTYPES = ("float32", "float16", "bfloat16", None)
RESTORE_MODES = ("specific", "latest", "all")


@dataclasses.dataclass(frozen=True)
class Checkpointer:
    """T5X's plain checkpointer: whatever is trained, in T5X's native format."""

    save_paths: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class NumpyPromptCheckpointer(Checkpointer):
    """Upstream's checkpointer, which writes some parameters as numpy files beside each checkpoint.

    Attributes:
        save_paths: regexes; a parameter whose whole `/`-joined name matches one is written to
            `numpy_checkpoints/checkpoint_{step}/` [PROMPT_REGEX].
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "save_paths", _regexes("Checkpointer.save_paths", self.save_paths))


@dataclasses.dataclass(frozen=True)
class SaveCheckpointConfig:
    """What a training run saves.

    Attributes:
        dtype: of saved parameters; None keeps float32.
        period: steps between checkpoints; None saves at the end only.
        checkpoint_steps: further steps at which to save.
        keep: how many checkpoints to keep; None all. Numpy prompts are never removed.
        keep_dataset_checkpoints: how many checkpoints keep the position of the data; None all.
        save_dataset: without effect: the position of the data is always saved, because a run
            goes on exactly where it stopped.
        checkpointer_cls: called without arguments; says which parameters are written as numpy.
        state_transformation_fns: empty.
        checkpoint_manager_cls: None; Orbax is not written.
    """

    dtype: str | None = "float32"
    period: int | None = None
    checkpoint_steps: Sequence[int] | None = None
    keep: int | None = None
    keep_dataset_checkpoints: int | None = None
    save_dataset: bool = False
    checkpointer_cls: Callable[[], Checkpointer] = Checkpointer
    state_transformation_fns: Sequence[Any] = ()
    checkpoint_manager_cls: Any = None

    def __post_init__(self) -> None:
        _choice("SaveCheckpointConfig.dtype", self.dtype, SAVE_DTYPES)
        for name in ("period", "keep", "keep_dataset_checkpoints"):
            _positive(f"SaveCheckpointConfig.{name}", getattr(self, name))
        for step in self.checkpoint_steps or ():
            if not isinstance(step, int) or step < 0:
                raise ValueError(
                    f"SaveCheckpointConfig.checkpoint_steps has {step!r}; steps are integers of at "
                    "least 0. Set utils.SaveCheckpointConfig.checkpoint_steps."
                )
        _nothing(self, "state_transformation_fns", "nothing is renamed when saving")
        _nothing(self, "checkpoint_manager_cls", "checkpoints are written in T5X's native format")

    @property
    def save_paths(self) -> tuple[str, ...]:
        """Regexes of the parameters that are also written as numpy files."""
        return tuple(self.checkpointer_cls().save_paths)


@dataclasses.dataclass(frozen=True)
class RestoreCheckpointConfig:
    """What a run starts from.

    Attributes:
        path: a checkpoint step directory, or for the modes "latest" and "all" the directory above
            [INITIAL_CHECKPOINT_PATH, CHECKPOINT_PATH].
        mode: "specific", "latest" or "all" (evaluation only).
        assignment_map: pairs (regex of a model name, replacement or None); None leaves the
            parameter to `fallback_to_scratch`.
        strict: every parameter of the checkpoint must be used.
        fallback_to_scratch: initialise what the checkpoint does not have.
        dtype: to restore into; None keeps the dtype of the file.
        restore_dataset: without effect: a base checkpoint's data is another run's, and a run's
            own checkpoint always restores it.
        checkpointer_cls: accepted, without effect on reading.
        state_transformation_fns: empty; `assignment_map` says all that is supported.
        checkpoint_manager_cls: None.
    """

    path: str | Sequence[str]
    mode: str = "latest"
    assignment_map: Sequence[tuple[str, str | None]] | None = None
    strict: bool = True
    fallback_to_scratch: bool = False
    dtype: str | None = None
    restore_dataset: bool = False
    checkpointer_cls: Callable[[], Checkpointer] = Checkpointer
    state_transformation_fns: Sequence[Any] = ()
    checkpoint_manager_cls: Any = None

    def __post_init__(self) -> None:
        paths = [self.path] if isinstance(self.path, str) else list(self.path or ())
        if not paths or not all(isinstance(path, str) and path for path in paths):
            raise ValueError(
                f"RestoreCheckpointConfig.path is {self.path!r}; it must be the path of a "
                "checkpoint. Set --initial_checkpoint or INITIAL_CHECKPOINT_PATH."
            )
        _choice("RestoreCheckpointConfig.mode", self.mode, RESTORE_MODES)
        _choice("RestoreCheckpointConfig.dtype", self.dtype, RESTORE_DTYPES)
        for rule in self.assignment_map or ():
            if not isinstance(rule, list | tuple) or len(rule) != 2:
                raise ValueError(
                    f"RestoreCheckpointConfig.assignment_map has the rule {rule!r}; a rule is a "
                    "pair (regex, replacement or None)."
                )
            _regexes("RestoreCheckpointConfig.assignment_map", [rule[0]])
        _nothing(self, "state_transformation_fns", "use assignment_map")
        _nothing(self, "checkpoint_manager_cls", "the format of a checkpoint is recognised by file")


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Both directions; None means not at all."""

    save: SaveCheckpointConfig | None = None
    restore: RestoreCheckpointConfig | None = None


def _choice(name: str, value: Any, accepted: Sequence[Any]) -> None:
    if value not in accepted:
        texts = [str(choice) for choice in accepted]
        near = spelling.nearest(str(value), texts, many=1)
        raise ValueError(
            f"{name} is {value!r}; accepted are {', '.join(map(repr, accepted))}{near} "
            f"Set utils.{name}."
        )


def _positive(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ValueError(f"{name} is {value!r}; it must be None or at least 1. Set utils.{name}.")


def _regexes(name: str, values: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise ValueError(f"{name} is the text {values!r}; it must be a list of regexes.")
    for value in values:
        try:
            re.compile(value)
        except (re.error, TypeError) as error:
            raise ValueError(f"{name} has {value!r}, not a regular expression: {error}.") from None
    return tuple(values)


def _nothing(config: Any, field: str, reason: str) -> None:
    if getattr(config, field):
        name = f"{type(config).__name__}.{field}"
        raise ValueError(f"{name} is not supported: {reason}. Remove the binding utils.{name}.")
