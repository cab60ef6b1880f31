# SPDX-License-Identifier: Apache-2.0
"""When a run saves, what it saves, and how it goes on from there.

A checkpoint folder is T5X's (`checkpoint_{step}/`), holding the trainable subset, its optimizer
slots and the step; the frozen weights are not copied. Three things lie beside or in it: the numpy
prompts, the position of the training data, and `prompt_tuning.json`, which says what the files
belong to. The bytes are `prompt_tuning.checkpoints`' business; data iterators are opaque here.
"""

import dataclasses
import importlib.metadata
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from prompt_tuning.checkpoints import paths, prompt_files, t5x_format
from prompt_tuning.models import frozen_weights, layer_stack
from prompt_tuning.partitioning import processes
from prompt_tuning.training import subset, train_state
from prompt_tuning.training.train_state import TrainState

RECORD_FILE = "prompt_tuning.json"
# T5X's name for the position of the data of host 0 of 1.
DATA_POSITION = "train_ds-000-of-001"
_RECORD_FORMAT = 1
_PACKAGES = ("jax", "flax", "optax", "numpy")


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What a run's checkpoints belong to; the content of `prompt_tuning.json`.

    Attributes:
      base_fingerprint: `checkpoints.fingerprint` of the frozen base; "" is not checked.
      trainable_regexes: the regexes that chose the trainable subset.
      random_seed: seed of dropout and data order; None when the run was not seeded.
      first_step: step of the base checkpoint. Periods count from it, so that a resumed run saves
        at the same steps as an uninterrupted one.
    """

    base_fingerprint: str = ""
    trainable_regexes: tuple[str, ...] = ()
    random_seed: int | None = None
    first_step: int = 0

    def to_json(self) -> str:
        """Returns the file's text, with the versions of the libraries that computed the state."""
        versions = {package: importlib.metadata.version(package) for package in _PACKAGES}
        fields = {"format": _RECORD_FORMAT, **dataclasses.asdict(self), "versions": versions}
        return json.dumps(fields, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, path: str) -> "RunRecord":
        """Reads `to_json`'s text; `path` is for the message.

        Raises:
          ValueError: when the text is not such a record or of a newer format.
        """
        try:
            fields = json.loads(text)
            if fields["format"] > _RECORD_FORMAT:
                raise ValueError(f"it has format {fields['format']}")
            return cls(
                base_fingerprint=str(fields["base_fingerprint"]),
                trainable_regexes=tuple(fields["trainable_regexes"]),
                random_seed=fields["random_seed"],
                first_step=int(fields["first_step"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is not a run record of format {_RECORD_FORMAT} ({error!r}); delete the "
                "checkpoint folder to go on from the one before it."
            ) from None


@dataclasses.dataclass(frozen=True)
class Restored:
    """A state read back, and where the data position of the same moment lies.

    Attributes:
      state: with the step of the checkpoint, each array where that of the fresh state lies.
      directory: the checkpoint folder.
      data_position: path to give to the data iterator's `restore`; None when none was saved.
      record: what the checkpoint says about its run; None for one that T5X wrote.
    """

    state: TrainState
    directory: str
    data_position: str | None
    record: RunRecord | None


class CheckpointManager:
    """Writes and restores the checkpoints of one MODEL_DIR.

    A folder appears under its final name only when complete, so a killed process leaves the last
    good checkpoint in place.
    """

    def __init__(
        self,
        model_dir: str,
        period: int | None = None,
        keep: int | None = None,
        *,
        keep_dataset_checkpoints: int | None = None,
        checkpoint_steps: Iterable[int] = (),
        save_dtype: str = "float32",
        save_paths: Iterable[str] = (),
        record: RunRecord | None = None,
    ):
        """Initializes the manager; touches no file.

        Args:
          model_dir: the run's folder, made when needed.
          period: steps between two checkpoints, counted from `record.first_step`; None for none.
          keep: number of newest checkpoints that survive; None keeps all. A folder with a file
            PINNED survives anyway, and numpy prompts are never deleted.
          keep_dataset_checkpoints: number of newest checkpoints that keep their data position;
            None leaves it in all.
          checkpoint_steps: further steps at which to save.
          save_dtype: dtype of the parameters in the file, float32 or bfloat16.
          save_paths: regexes; parameters whose whole name matches one are also written as numpy
            files.
          record: what this run is; compared with what a checkpoint says when restoring.

        Raises:
          ValueError: for a period or keep below 1.
        """
        for name, value in (
            ("period", period),
            ("keep", keep),
            ("keep_dataset_checkpoints", keep_dataset_checkpoints),
        ):
            if value is not None and value < 1:
                raise ValueError(
                    f"SaveCheckpointConfig.{name} is {value}; it must be at least 1 or None."
                )
        self._model_dir = os.fspath(model_dir)
        self._period = period
        self._keep = keep
        self._keep_dataset_checkpoints = keep_dataset_checkpoints
        self._checkpoint_steps = frozenset(checkpoint_steps)
        self._save_dtype = save_dtype
        self._save_paths = tuple(save_paths)
        self.record = record or RunRecord()

    def due(self, step: int) -> bool:
        """Whether a checkpoint belongs at `step`."""
        if step in self._checkpoint_steps:
            return True
        period = self._period
        return period is not None and (step - self.record.first_step) % period == 0

    def save(
        self,
        state: TrainState,
        data_position: Callable[[str], None] | None = None,
        frozen: Mapping[str, jax.Array] | None = None,
    ) -> str | None:
        """Writes the state unless its step is already there, then deletes what exceeds `keep`.

        Args:
          state: is fetched from the device; waits for the step to finish.
          data_position: the data iterator's `save`, called with a path to write to (or to begin
            file names with).
          frozen: when given, the file holds these parameters too: a full T5X checkpoint.

        Every process must call this; process 0 writes, and all return when it has.

        Returns:
          The folder; None when the step was there already, and in other processes.
        """
        step = int(state.step)
        params, opt_state, others = processes.fetch((state.params, state.opt_state, frozen))
        path = None
        if processes.leads() and step not in t5x_format.checkpoint_steps(self._model_dir):
            # Files speak of layers one by one, however the frozen ones lie on the devices.
            rest = frozen_weights.restore(layer_stack.unstack(others or {}))
            target = subset.merge(params, rest)
            path = self._write(step, params, target, opt_state, data_position)
        # Nobody goes on, or away, before the file is there.
        processes.wait_for_all(f"checkpoint_{step}")
        return path

    def _write(self, step, params, target, opt_state, data_position) -> str | None:
        # Upstream's order: whoever waits for checkpoint_{step} finds the numpy prompts there.
        self._save_numpy(params, step)
        files = {RECORD_FILE: self.record.to_json().encode()}
        if data_position is not None:
            files.update(_files_written_by(data_position))
        path = t5x_format.write_checkpoint(
            self._model_dir,
            step,
            target,
            train_state.flatten_slots(opt_state),
            save_dtype=self._save_dtype,
            extra_files=files,
        )
        if self._keep is not None:
            t5x_format.prune(self._model_dir, self._keep)
        if self._keep_dataset_checkpoints is not None:
            t5x_format.prune_files(self._model_dir, DATA_POSITION, self._keep_dataset_checkpoints)
        return path

    def restore_latest(self, state: TrainState) -> Restored | None:
        """Reads the newest checkpoint of the model directory.

        Args:
          state: a fresh state of this run: says which parameters and slots, of which shapes, are
            wanted. A checkpoint that also holds the frozen weights is fine.

        Returns:
          The restored state, or None when there is no checkpoint.

        Raises:
          ValueError: when the checkpoint belongs to another base model, lacks a parameter or slot,
            or has another shape.
        """
        step = t5x_format.latest_step(self._model_dir)
        return None if step is None else self.restore(state, step)

    def restore(self, state: TrainState, step: int) -> Restored:
        """Reads the checkpoint of `step`; otherwise as `restore_latest`.

        Raises:
          FileNotFoundError: there is no such step.
        """
        checkpoint = t5x_format.open_checkpoint(self._model_dir, step=step)
        directory = checkpoint.directory
        record = self._read_record(directory)
        target = checkpoint.target()
        _check_parameters(state, target, directory)
        params = {name: target[name] for name in state.params}
        slots = train_state.with_slots(state.opt_state, _slot_leaves(checkpoint.leaves, state))
        params, slots = jax.tree.map(_read_as, (state.params, state.opt_state), (params, slots))
        at = _placed_as(state.step, lambda index: np.asarray(checkpoint.step)[index])
        restored = TrainState(step=at, params=params, opt_state=slots)
        return Restored(restored, directory, _find_data_position(directory), record)

    def _save_numpy(self, params: Mapping[str, np.ndarray], step: int) -> None:
        prompts = {
            name: np.asarray(value, np.float32)
            for name, value in params.items()
            if any(re.fullmatch(regex, name) for regex in self._save_paths)
        }
        if prompts:
            prompt_files.write_numpy_prompts(self._model_dir, step, prompts)

    def _read_record(self, directory: str) -> RunRecord | None:
        path = paths.join(directory, RECORD_FILE)
        if not paths.is_file(path):
            return None  # T5X wrote it; the shapes are all there is to check.
        record = RunRecord.from_json(paths.read_bytes(path).decode(errors="replace"), path)
        ours = self.record
        if record.base_fingerprint and ours.base_fingerprint:
            if record.base_fingerprint != ours.base_fingerprint:
                raise ValueError(
                    f"{directory} was trained on a base model with fingerprint "
                    f"{record.base_fingerprint}, but this run's base has {ours.base_fingerprint}; "
                    "set INITIAL_CHECKPOINT_PATH to the same base, or choose another MODEL_DIR."
                )
        if record.random_seed != ours.random_seed:
            logging.warning(
                "%s was written with RANDOM_SEED %s, this run has %s: dropout and data order will "
                "not continue the same sequence.",
                directory,
                record.random_seed,
                ours.random_seed,
            )
        # Periods go on counting from where the run began, not from where it was resumed.
        self.record = dataclasses.replace(ours, first_step=record.first_step)
        return record


def _read_as(current: jax.Array, leaf: t5x_format.LazyArray) -> jax.Array:
    """The leaf with the dtype of `current` and in its place; only the pieces held here are read."""
    return _placed_as(current, leaf.part)


def _placed_as(current: jax.Array, part: Callable[[Any], np.ndarray]) -> jax.Array:
    return jax.make_array_from_callback(
        current.shape, current.sharding, lambda index: np.array(part(index), current.dtype)
    )


def _slot_leaves(
    leaves: Mapping[str, t5x_format.LazyArray], state: TrainState
) -> dict[str, t5x_format.LazyArray]:
    """The slots of this run's parameters; a full checkpoint may hold others."""
    found = {
        name: leaves.get(f"state/param_states/{name}")
        for name in train_state.flatten_slots(state.opt_state)
    }
    return {name: leaf for name, leaf in found.items() if leaf is not None}


def _check_parameters(
    state: TrainState, target: Mapping[str, t5x_format.LazyArray], directory: str
) -> None:
    for name, wanted in state.params.items():
        if name not in target:
            raise ValueError(
                f"{directory} has no parameter {name}, which this run trains; the nearest it has "
                f"are {subset.nearest_names(name, target)}. Use the PROMPT_REGEX of the run that "
                "wrote it, or choose another MODEL_DIR."
            )
        if tuple(target[name].shape) != tuple(wanted.shape):
            raise ValueError(
                f"{name} has shape {tuple(target[name].shape)} in {directory}, but this run needs "
                f"{tuple(wanted.shape)}; set PROMPT_LENGTH and the model to what wrote it, or "
                "choose another MODEL_DIR."
            )


def _files_written_by(data_position: Callable[[str], None]) -> dict[str, bytes]:
    """Lets the iterator save into a scratch folder and returns {file name: content}."""
    with tempfile.TemporaryDirectory() as scratch:
        data_position(os.path.join(scratch, DATA_POSITION))
        files = {}
        for name in sorted(os.listdir(scratch)):
            with open(os.path.join(scratch, name), "rb") as file:
                files[name] = file.read()
        return files


def _find_data_position(directory: str) -> str | None:
    # TensorFlow's iterators write several files that begin with the given path.
    found = any(name.startswith(DATA_POSITION) for name in paths.list_names(directory))
    return paths.join(directory, DATA_POSITION) if found else None
