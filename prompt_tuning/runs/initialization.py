# SPDX-License-Identifier: Apache-2.0
"""The parameters a run starts from: read from a checkpoint, and drawn where it has none.

Joins `checkpoints` (names and arrays) with a model (what it needs). Knows no optimizer and no data.
"""

import dataclasses
import difflib
import functools
import re
import time
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from flax import traverse_util

from prompt_tuning.checkpoints import (
    assignment,
    base_checkpoint,
    fingerprint,
    lazy_array,
    t5x_format,
)
from prompt_tuning.partitioning import partitioner, processes
from prompt_tuning.runs import restore_paths

Shapes = Mapping[str, tuple[int, ...]]
_TARGET = "target/"
# Any lengths: the shapes of parameters do not depend on them.
ANY_SHAPES: Shapes = {
    "encoder_input_tokens": (1, 8),
    "decoder_input_tokens": (1, 8),
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """Where each parameter will come from; no array has been read.

    Attributes:
      checkpoint: that was opened; None where all is drawn.
      leaves: {parameter: the checkpoint's array}.
      drawn: names of the parameters that the checkpoint does not give.
    """

    checkpoint: t5x_format.Checkpoint | None
    leaves: Mapping[str, t5x_format.LazyArray]
    drawn: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class InitialParameters:
    """Parameters before the first step.

    Attributes:
      params: all of them, flat, in their places: `{"encoder/prompt/prompt/prompt": [P, H], ...}`.
      step: of the checkpoint; 0 without one.
      fingerprint: `checkpoints.fingerprint` of the arrays that the checkpoint gave; "" without one.
      drawn: names of the parameters that the checkpoint did not give.
    """

    params: dict[str, Any]
    step: int
    fingerprint: str
    drawn: tuple[str, ...]

    def without_values(self, keep: Collection[str] = ()) -> "InitialParameters":
        """The same with shapes for all arrays but those named, so that the host's copies can go."""
        params = {
            name: value if name in keep else jax.ShapeDtypeStruct(value.shape, value.dtype)
            for name, value in self.params.items()
        }
        return dataclasses.replace(self, params=params)


def random_key(seed: int | None, use_hardware_rng: bool) -> jax.Array:
    """The key of a run: of its seed, or of process 0's clock."""
    if use_hardware_rng or seed is None:
        # As T5X: unseeded runs take the faster generator.
        seed = processes.of_leader(time.time_ns() % 2**31) if seed is None else seed
        return jax.random.key(seed, impl="unsafe_rbg")
    return jax.random.PRNGKey(seed)


def parameter_shapes(model: Any, input_shapes: Shapes) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns name -> shape of every parameter; nothing is computed."""
    variables = jax.eval_shape(
        lambda rng: model.get_initial_variables(rng, input_shapes), jax.random.key(0)
    )
    return traverse_util.flatten_dict(variables["params"], sep="/")


def plan(model: Any, restore: Any | None = None) -> Plan:
    """Opens the checkpoint of `restore` and fits its names and shapes to the model's; reads nothing.

    Args:
      model: has `get_initial_variables`.
      restore: `config.checkpoint_config.RestoreCheckpointConfig`, or None for all from scratch.

    Raises:
      FileNotFoundError: there is no checkpoint at the path.
      ValueError: the checkpoint does not fit the model; names what does not, and the nearest.
    """
    shapes = parameter_shapes(model, ANY_SHAPES)
    if restore is None:
        return Plan(None, {}, tuple(sorted(shapes)))
    checkpoint = base_checkpoint.open_base(restore_paths.single_restore_path(restore))
    sources = _sources(checkpoint, shapes, restore)
    leaves = {name: checkpoint.leaves[source] for name, source in sources.items() if source}
    _check_shapes(leaves, shapes, checkpoint.directory)
    drawn = tuple(sorted(name for name, source in sources.items() if source is None))
    return Plan(checkpoint, leaves, drawn)


def draw(
    model: Any,
    input_shapes: Shapes,
    rng: jax.Array,
    names: tuple[str, ...],
    part: partitioner.Partitioner,
) -> dict[str, jax.Array]:
    """Draws the named parameters as T5X would draw them with `rng`, each piece where it will lie.

    The others are not computed: the compiler drops what no output needs.

    Raises:
      ValueError: a value is not finite; names the parameter.
    """
    if not names:
        return {}

    def initialize(key):
        variables = model.get_initial_variables(key, input_shapes)
        params = traverse_util.flatten_dict(variables["params"], sep="/")
        placed = {
            name: part.constrain(params[name], part.parameter_sharding(name, params[name].shape))
            for name in names
        }
        finite = {name: jnp.isfinite(value).all() for name, value in placed.items()}
        return placed, jax.tree.map(lambda flag: part.constrain(flag, part.whole), finite)

    params, finite = part.jit(initialize)(rng)
    for name, flag in jax.device_get(finite).items():
        if not flag:
            raise ValueError(
                f"{name} starts with values that are not finite; choose another --prompt_file "
                "(PROMPT_FILE) or --prompt_init."
            )
    return params


def initial_parameters(
    model: Any,
    input_shapes: Shapes,
    rng: jax.Array,
    restore: Any | None = None,
    part: partitioner.Partitioner | None = None,
    planned: Plan | None = None,
) -> InitialParameters:
    """Reads the parameters of `restore`, and draws those that it leaves out.

    Every process reads the pieces that its devices hold, and no others: no host holds the model.

    Args:
      model: has `get_initial_variables`.
      input_shapes: `{"encoder_input_tokens": (B, T), "decoder_input_tokens": (B, L)}`.
      rng: a JAX key; T5X's `init_rng`.
      restore: `config.checkpoint_config.RestoreCheckpointConfig`, or None for all from scratch.
      part: where the parameters are to lie; None is one device.
      planned: what `plan(model, restore)` returned, if it was called before.

    Raises:
      FileNotFoundError, ValueError: as `plan`; or a drawn value is not finite.
    """
    part, planned = part or partitioner.Partitioner(), planned or plan(model, restore)
    params, base, step = {}, "", 0
    if planned.checkpoint is not None:
        dtype = restore.dtype if restore else None
        params = read(planned.leaves, dtype or "float32", part)
        base = _fingerprint(planned.leaves, params, dtype, part)
        step = planned.checkpoint.step
    params |= draw(model, input_shapes, rng, planned.drawn, part)
    return InitialParameters(dict(sorted(params.items())), step, base, planned.drawn)


def read(
    leaves: Mapping[str, t5x_format.LazyArray], dtype: str, part: partitioner.Partitioner
) -> dict[str, jax.Array]:
    """The arrays of a checkpoint in their places; only the pieces of this process are read."""
    wanted = lazy_array.as_dtype(dtype)
    return part.read_all(
        {
            name: (leaf.shape, wanted, functools.partial(leaf.part, dtype=wanted))
            for name, leaf in leaves.items()
        }
    )


def _fingerprint(leaves, params, dtype: str | None, part: partitioner.Partitioner) -> str:
    """Of the file's values: a cast to a narrower type would give another fingerprint."""
    # Threads take the samples, which must not start programs over several devices side by side.
    if dtype == "bfloat16" or part.mesh.size > 1:
        return fingerprint.fingerprint(leaves)
    return fingerprint.fingerprint({name: _on_host(value) for name, value in params.items()})


def _on_host(value: jax.Array) -> Any:
    # Where the device is the host, this is no copy.
    return np.asarray(value) if next(iter(value.devices())).platform == "cpu" else value


def _sources(checkpoint, shapes, restore) -> dict[str, str | None]:
    """Model parameter -> the checkpoint's leaf, or None for "draw it"."""
    assigned = assignment.apply_assignment_map(
        checkpoint.leaves,
        [_TARGET + name for name in sorted(shapes)],
        restore.assignment_map,
        fallback_to_scratch=restore.fallback_to_scratch,
        strict=restore.strict,
    )
    _warn_of_missing(assigned, restore.assignment_map, checkpoint.directory)
    sources = {name.removeprefix(_TARGET): source for name, source in assigned.items()}
    drawn = [name for name, source in sources.items() if source is None]
    if drawn and not restore.fallback_to_scratch:
        near = difflib.get_close_matches(drawn[0], checkpoint.target(), n=3, cutoff=0.0)
        raise ValueError(
            f"the assignment_map leaves out {drawn[0]}, and nothing else gives it a value; set "
            "RestoreCheckpointConfig.fallback_to_scratch = True to initialize it, or "
            f"RestoreCheckpointConfig.assignment_map = () to read it. {checkpoint.directory} has "
            f"{near}."
        )
    return sources


def _warn_of_missing(assigned: Mapping[str, str | None], rules: Any, directory: str) -> None:
    """What `fallback_to_scratch` lets pass without a rule is random and, mostly, never trained."""
    patterns = [pattern for pattern, _ in rules or ()]
    missing = [
        name.removeprefix(_TARGET)
        for name, source in assigned.items()
        if source is None and not any(re.fullmatch(pattern, name) for pattern in patterns)
    ]
    if missing:
        logging.warning(
            "%d parameters of the model are not in %s and start at random, for example %s; choose "
            "the gin file of that checkpoint's size, or name them in "
            "RestoreCheckpointConfig.assignment_map.",
            len(missing),
            directory,
            missing[0],
        )


def _check_shapes(leaves, shapes, directory: str) -> None:
    for name, leaf in leaves.items():
        if tuple(leaf.shape) != tuple(shapes[name].shape):
            raise ValueError(
                f"{name} has shape {tuple(leaf.shape)} in {directory}, but the model needs "
                f"{tuple(shapes[name].shape)}; choose the gin file of that model's size, or set "
                "PROMPT_LENGTH for a prompt."
            )
