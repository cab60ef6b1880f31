# SPDX-License-Identifier: Apache-2.0
"""What changes during training: a step, the trainable subset, its optimizer slots.

The frozen weights are deliberately not in here: they never change, so they are passed beside the
state, never donated and never saved.
"""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

# {parameter name: {slot name: array}}, e.g. {"encoder/prompt/prompt/prompt": {"v": [P, H], ...}}:
# the layout of T5X's `param_states`, so files need no translation.
OptState = dict[str, dict[str, jax.Array]]


class TrainState(flax.struct.PyTreeNode):
    """The mutable part of a run.

    Attributes:
      step: int32 scalar. Counts on from the base checkpoint's step (1,100,000 for the LM-adapted
        T5s), because upstream restores it and Adafactor's decay depends on it.
      params: the trainable parameters, flat, `{"encoder/prompt/prompt/prompt": [P, H]}`.
      opt_state: one dict of slots per trainable parameter.
    """

    step: jax.Array
    params: dict[str, jax.Array]
    opt_state: OptState

    @classmethod
    def create(
        cls, step: jax.typing.ArrayLike, params: Mapping[str, Any], opt_state: OptState
    ) -> "TrainState":
        """Returns a state whose arrays alias nothing the caller holds.

        The copy matters: a training step donates its state, which would otherwise delete the
        caller's arrays.
        """
        copied = {name: jnp.array(value, copy=True) for name, value in sorted(params.items())}
        return cls(step=jnp.asarray(step, jnp.int32), params=copied, opt_state=opt_state)


def flatten_slots(opt_state: OptState) -> dict[str, jax.Array]:
    """Returns `{"<parameter>/<slot>": array}`, the leaves of T5X's `param_states`."""
    return {
        f"{name}/{slot}": value
        for name, slots in opt_state.items()
        for slot, value in slots.items()
    }


def with_slots(opt_state: OptState, leaves: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the tree of `opt_state` with the `leaves` (named as by `flatten_slots`) in it.

    Raises:
      ValueError: when a slot is missing or has another shape; the message names it.
    """
    restored: dict[str, dict[str, Any]] = {}
    for name, slots in opt_state.items():
        restored[name] = {}
        for slot, current in slots.items():
            leaf = leaves.get(f"{name}/{slot}")
            if leaf is None or tuple(leaf.shape) != tuple(current.shape):
                got = "nothing" if leaf is None else f"shape {tuple(leaf.shape)}"
                raise ValueError(
                    f"optimizer slot {name}/{slot}: the checkpoint has {got}, this optimizer needs "
                    f"shape {tuple(current.shape)}. Restore with the Adafactor settings of the run "
                    "that wrote it, or choose another MODEL_DIR."
                )
            restored[name][slot] = leaf
    return restored
