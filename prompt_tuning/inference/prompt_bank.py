# SPDX-License-Identifier: Apache-2.0
"""Many prompts on the device at once, under names, for batches whose rows name theirs.

The prompts of a bank are one array with a fixed number of slots and positions, so a prompt may come
or go, or be longer or shorter than the others, and no program that uses the bank has to be compiled
again. When every slot is taken the number of slots doubles; that compiles two small programs (the
one that writes a slot and the one that picks rows), never the model's, which see only the
`[B, P, H]` that was picked.

Shapes: `K` slots, `P` positions of the longest prompt that the bank takes, `H` embed, `B` batch.
"""

import dataclasses
import difflib
import os
import threading
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from prompt_tuning.checkpoints import prompt_files


@jax.jit
def _write(values, live, slot, prompt, length):
    """The arrays with another prompt `[P, H]`, of which `length` positions count, in one slot."""
    return (
        values.at[slot].set(prompt),
        live.at[slot].set(jnp.arange(live.shape[1]) < length),
    )


@jax.jit
def _pick(values, live, slots):
    return jnp.take(values, slots, axis=0), jnp.take(live, slots, axis=0)


@jax.jit
def _double(values, live):
    return (
        jnp.concatenate([values, jnp.zeros_like(values)]),
        jnp.concatenate([live, jnp.zeros_like(live)]),
    )


@dataclasses.dataclass(frozen=True)
class PromptTable:
    """A bank as it was at one moment; changes of the bank do not reach it.

    Attributes:
      values: float32 `[K, P, H]`.
      live: bool `[K, P]`, which positions are real.
      slots: Name to slot.
    """

    values: jax.Array
    live: jax.Array
    slots: Mapping[str, int]

    def pick(self, slots: np.ndarray) -> dict[str, jax.Array]:
        """The prompts of a batch, as keyword arguments of the prompted encoder.

        Args:
          slots: int `[B]`.

        Returns:
          `prompt` float32 `[B, P, H]` and `prompt_live` bool `[B, P]`.
        """
        picked, live = _pick(self.values, self.live, jax.device_put(slots.astype(np.int32)))
        return {"prompt": picked, "prompt_live": live}


class PromptBank:
    """Named prompts of one model. Threads may use a bank while others change it."""

    def __init__(
        self,
        width: int,
        max_length: int = 100,
        capacity: int = 16,
        check_file: Callable[[str], None] | None = None,
    ):
        """An empty bank; compiles the program that writes a slot.

        Args:
          width: `H` of the model.
          max_length: `P`; every row of a batch costs as much as a prompt of this length.
          capacity: `K`, slots to begin with; `K * P * H * 4` bytes of the device's memory.
          check_file: Raises a ValueError for a file that `load` is not to take, such as an artifact
            of another model, which the bank does not know.

        Raises:
          ValueError: A number is not positive.
        """
        for name, value in (("width", width), ("max_length", max_length), ("capacity", capacity)):
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        self._check_file = check_file or (lambda path: None)
        self._lock = threading.Lock()
        self._slots: dict[str, int] = {}
        self._values = jax.device_put(np.zeros((capacity, max_length, width), np.float32))
        self._live = jax.device_put(np.zeros((capacity, max_length), bool))
        self._set(0, np.zeros((0, width), np.float32))

    @property
    def width(self) -> int:
        return self._values.shape[2]

    @property
    def max_length(self) -> int:
        return self._values.shape[1]

    @property
    def capacity(self) -> int:
        return self._values.shape[0]

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they were added."""
        return tuple(self._slots)

    def add(self, name: str, prompt: np.ndarray | jax.Array) -> None:
        """Adds a prompt `[n, H]`, `n` from 0 (no prompt at all) to `max_length`.

        Raises:
          ValueError: The name is taken, or the shape does not fit.
        """
        prompt = self._checked(name, prompt)
        with self._lock:
            if name in self._slots:
                raise ValueError(
                    f"the prompt bank already has a prompt {name!r}; `replace` it or take another "
                    "name"
                )
            taken = set(self._slots.values())
            if len(taken) == self.capacity:
                self._values, self._live = _double(self._values, self._live)
            slot = min(set(range(self.capacity)) - taken)
            self._set(slot, prompt)
            self._slots = {**self._slots, name: slot}

    def load(self, name: str, path: str | os.PathLike[str]) -> None:
        """Adds the prompt of a file, of any kind that `prompt_files.read_prompt` reads.

        Raises:
          FileNotFoundError: Nothing is at `path`.
          ValueError: It is no prompt, `check_file` refuses it, or as for `add`.
        """
        self._check_file(os.fspath(path))
        self.add(name, prompt_files.read_prompt(path))

    def replace(self, name: str, prompt: np.ndarray | jax.Array) -> None:
        """Gives a name another prompt, of any length that fits.

        Raises:
          ValueError: The name is unknown, or the shape does not fit.
        """
        prompt = self._checked(name, prompt)
        with self._lock:
            self._set(self._known(name), prompt)

    def remove(self, name: str) -> None:
        """Forgets a prompt; its slot is used again.

        Raises:
          ValueError: The name is unknown.
        """
        with self._lock:
            self._known(name)
            self._slots = {other: slot for other, slot in self._slots.items() if other != name}

    def snapshot(self) -> PromptTable:
        """The bank as it is now."""
        with self._lock:
            return PromptTable(self._values, self._live, self._slots)

    def _set(self, slot: int, prompt: np.ndarray) -> None:
        padded = np.zeros((self.max_length, self.width), np.float32)
        padded[: len(prompt)] = prompt
        # Not donated: snapshots may still use the old arrays.
        self._values, self._live = _write(
            self._values,
            self._live,
            *jax.device_put((np.int32(slot), padded, np.int32(len(prompt)))),
        )

    def _known(self, name: str) -> int:
        if name not in self._slots:
            raise ValueError(unknown_prompt(name, self._slots))
        return self._slots[name]

    def _checked(self, name: str, prompt: np.ndarray | jax.Array) -> np.ndarray:
        shape = tuple(prompt.shape)
        if len(shape) != 2 or shape[1] != self.width or shape[0] > self.max_length:
            raise ValueError(
                f"the prompt {name!r} has shape {shape}; the bank takes (n, {self.width}) with n "
                f"at most {self.max_length}; choose a prompt of this model, or raise the bank's "
                "`max_length`"
            )
        return np.asarray(prompt, np.float32)


def unknown_prompt(name: str, known: Mapping[str, int]) -> str:
    """Says that a name is unknown, and which ones are near it."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)[:3]
    return (
        f"there is no prompt {name!r} among the {len(known)} that are loaded; the nearest are "
        f"{', '.join(near) or '(none)'}"
    )
