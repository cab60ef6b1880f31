# SPDX-License-Identifier: Apache-2.0
"""Which optimizer updates which parameters: T5X's `MultiOptimizer` over traversals.

The one question the trainer asks is `optimizer.trainable(names) -> names`. Whatever no traversal
selects is frozen: it gets no gradient and no state. Knows no particular optimizer.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import jax

from prompt_tuning.training import subset, train_state

# T5X configs reach this one through the module that holds the optimizers.
match_any = subset.match_any


class OptimizerDef(Protocol):
    """What the trainer needs of an optimizer. `adafactor.Adafactor` is one."""

    def trainable(self, names: Iterable[str]) -> list[str]:
        """Returns the sorted subset of `names` that this optimizer updates."""

    def init(self, params: Mapping[str, jax.Array]) -> train_state.OptState:
        """Returns the initial slots of `params`, which are all trainable."""

    def update(
        self,
        grads: Mapping[str, jax.Array],
        opt_state: train_state.OptState,
        params: Mapping[str, jax.Array],
        step: jax.Array,
        learning_rate: jax.typing.ArrayLike | None = None,
    ) -> tuple[dict[str, jax.Array], train_state.OptState]:
        """Returns (new parameters, new slots); `step` is the global step before the update."""


@dataclasses.dataclass(frozen=True)
class ModelParamTraversal:
    """Selects parameters by `filter_fn(path, value)`; paths are "/a/b/c". Flax's old name for it.

    Only names are known when the choice is made, so `value` is always None.
    """

    filter_fn: Callable[[str, Any], bool]

    def select(self, names: Iterable[str]) -> list[str]:
        """Returns the sorted names that the filter accepts.

        Raises:
          ValueError: when the filter, or one of its regexes, accepts nothing.
        """
        names = list(names)
        if isinstance(self.filter_fn, subset.MatchAny):
            subset.check_each_matches(self.filter_fn.regexes, names)
        chosen = sorted(name for name in names if self.filter_fn("/" + name, None))
        if not chosen:
            raise ValueError(
                f"a ModelParamTraversal selects none of the {len(names)} parameters, e.g. "
                f"{sorted(names)[:3]}. Change its filter_fn (PROMPT_REGEX)."
            )
        return chosen


class MultiOptimizer:
    """Several optimizers, each for the parameters of its traversal.

    Example, in gin:
      optimizers.MultiOptimizer.traversals_and_optimizers = (
          (@optimizers.ModelParamTraversal(), @adafactor.Adafactor()),)
      optimizers.ModelParamTraversal.filter_fn = @optimizers.match_any()
    """

    def __init__(
        self, traversals_and_optimizers: Sequence[tuple[ModelParamTraversal, OptimizerDef]]
    ):
        self._pairs = tuple(traversals_and_optimizers)
        if not self._pairs:
            raise ValueError("MultiOptimizer needs at least one (traversal, optimizer) pair.")

    @property
    def trainable_regexes(self) -> tuple[str, ...]:
        """The regexes of all traversals, for the record of a run; other filters have none."""
        filters = (traversal.filter_fn for traversal, _ in self._pairs)
        return tuple(
            regex
            for predicate in filters
            if isinstance(predicate, subset.MatchAny)
            for regex in predicate.regexes
        )

    def trainable(self, names: Iterable[str]) -> list[str]:
        """Returns the names that any traversal selects, sorted.

        Raises:
          ValueError: when two traversals select the same parameter, or one selects nothing.
        """
        return sorted(name for chosen in self._partition(names) for name in chosen)

    def init(self, params: Mapping[str, jax.Array]) -> train_state.OptState:
        """Returns the slots of every selected parameter; the others have none."""
        state: train_state.OptState = {}
        for (_, optimizer), chosen in zip(self._pairs, self._partition(params), strict=True):
            state.update(optimizer.init({name: params[name] for name in chosen}))
        return dict(sorted(state.items()))

    def update(
        self,
        grads: Mapping[str, jax.Array],
        opt_state: train_state.OptState,
        params: Mapping[str, jax.Array],
        step: jax.Array,
        learning_rate: jax.typing.ArrayLike | None = None,
    ) -> tuple[dict[str, jax.Array], train_state.OptState]:
        """Updates each part with its optimizer; parameters that none selects keep their value."""
        new_params, new_state = dict(params), dict(opt_state)
        for (_, optimizer), chosen in zip(self._pairs, self._partition(params), strict=True):
            part, slots = optimizer.update(
                {name: grads[name] for name in chosen},
                {name: opt_state[name] for name in chosen},
                {name: params[name] for name in chosen},
                step,
                learning_rate,
            )
            new_params.update(part)
            new_state.update(slots)
        return new_params, new_state

    def _partition(self, names: Iterable[str]) -> list[list[str]]:
        names = list(names)
        parts = [traversal.select(names) for traversal, _ in self._pairs]
        seen: set[str] = set()
        for part in parts:
            if seen.intersection(part):
                raise ValueError(
                    f"two traversals select the same parameters: {sorted(seen & set(part))[:3]}. "
                    "Make the regexes of MultiOptimizer.traversals_and_optimizers disjoint."
                )
            seen.update(part)
        return parts
