# SPDX-License-Identifier: Apache-2.0
"""Adafactor with T5X's arguments and arithmetic, assembled from optax's transformations.

optax gives the second moment and the update clipping; what T5X does differently is here: the decay
follows the *global* step (which starts at the base checkpoint's), weight decay is decoupled and
not multiplied by the learning rate, all arithmetic is float32, and the state is kept in T5X's slots
so that checkpoints need no translation. Knows names only to report and to look them up in maps.

Source: Shazeer and Stern 2018 (arXiv:1804.04235); the fixed choices are T5X's.
"""

import dataclasses
import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from prompt_tuning.training import train_state

_SLOTS = ("m", "v", "v_col", "v_row")


class FactorDim(enum.Enum):
    """T5X's ways to treat one dimension in the factored second moment."""

    NONE = enum.auto()
    BATCH = enum.auto()
    ROW = enum.auto()
    COLUMN = enum.auto()


def standard_logical_factor_rules(
    rules: Mapping[str, FactorDim] | None = None,
) -> dict[str, FactorDim]:
    """Returns T5X's rules by logical axis name, extended by prompt-tuning's and by `rules`.

    They are accepted for compatibility and change nothing here: T5X itself ignores them for
    parameters of rank 2 and below, and the T5 tree of this project has no others.
    """
    standard = {
        **dict.fromkeys(("vocab", "mlp", "heads", "kv", "joined_kv"), FactorDim.COLUMN),
        "embed": FactorDim.ROW,
        **dict.fromkeys(("layers", "stack", "batch"), FactorDim.BATCH),
        **dict.fromkeys(("relpos_buckets", "layer_norm_scale"), FactorDim.NONE),
        **dict.fromkeys(("prompt", "tasks", "prompt+embed", "prompt_embed"), FactorDim.NONE),
    }
    return {**standard, **(rules or {})}


class HParamMap:
    """A hyper-parameter that depends on the parameter: the first regex found in "/" + name wins."""

    def __init__(self, rules: Sequence[tuple[str, Any]]):
        self._rules = [(re.compile(regex), value) for regex, value in rules]

    def __getitem__(self, name: str) -> Any:
        for regex, value in self._rules:
            if regex.search("/" + name):
                return value
        raise ValueError(
            f"no rule of HParamMap matches the parameter {name!r}; its regexes are "
            f"{[regex.pattern for regex, _ in self._rules]}. Add a last rule ('.*', value)."
        )


@dataclasses.dataclass(frozen=True)
class Adafactor:
    """T5X's `adafactor.Adafactor`: same arguments, same defaults, same numbers.

    A parameter p [d0, d1] keeps factored second moments `v_row` [smaller dim] and `v_col` [larger
    dim] when both dims are at least `min_dim_size_to_factor`, else a full `v`. A prompt [P, H] is
    therefore unfactored below P = 128 and factored from there on, as upstream.

    Attributes:
      learning_rate: used when `update` is given none; the trainer always gives one.
      factored: False keeps the full second moment for every parameter.
      multiply_by_parameter_scale: multiply the step by max(RMS(p), epsilon2); may be an HParamMap.
      beta1: momentum decay; None keeps no momentum.
      decay_rate: exponent r of the second moment's decay 1 - (step - step_offset + 1) ** -r.
      step_offset: the step that counts as 0 in that decay.
      clipping_threshold: the update's RMS per parameter is clipped to this; None does not clip.
      weight_decay_rate: p shrinks by this fraction each step, independent of the learning rate.
      min_dim_size_to_factor: see above.
      epsilon1: added to the squared gradient.
      epsilon2: floor of the parameter scale.
      dtype_momentum: dtype in which `m` is kept.
      factor_map: accepted for compatibility, without effect for rank <= 2 as in T5X.
      logical_factor_rules: likewise.
      weight_decay_rate_lr_exponent: weight decay becomes (rate or 1) * learning_rate ** exponent.
      global_norm_clip_threshold: clip the gradient's global norm first.
      max_parameter_scale: cap of the parameter scale.
      skip_nan_updates: leave parameters and slots alone when a gradient holds a NaN.
    """

    learning_rate: float | None = None
    factored: bool = True
    multiply_by_parameter_scale: bool | HParamMap = True
    beta1: float | None = None
    decay_rate: float = 0.8
    step_offset: int = 0
    clipping_threshold: float | None = 1.0
    weight_decay_rate: float | None = None
    min_dim_size_to_factor: int = 128
    epsilon1: float = 1e-30
    epsilon2: float = 1e-3
    dtype_momentum: Any = jnp.float32
    factor_map: Any = None
    logical_factor_rules: Any = None
    weight_decay_rate_lr_exponent: float | None = None
    global_norm_clip_threshold: float | None = None
    max_parameter_scale: float | None = None
    skip_nan_updates: bool = False

    def trainable(self, names: Iterable[str]) -> list[str]:
        """Returns the names this optimizer updates: all of them."""
        return sorted(names)

    def init(self, params: Mapping[str, jax.Array]) -> train_state.OptState:
        """Returns zero slots m, v, v_col, v_row per parameter; unused ones have shape [1].

        Raises:
          ValueError: for a parameter of rank > 2 that would have to be factored.
        """
        for name, value in params.items():
            if self.factored and value.ndim > 2:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}; factored second moments are defined "
                    "for rank 2 and below. Set Adafactor.factored = False."
                )
        moments = self._second_moment().init({n: _float32(v) for n, v in params.items()})
        keeps_momentum = self.beta1 is not None
        return {
            name: {
                "m": jnp.zeros(value.shape, self.dtype_momentum)
                if keeps_momentum
                else jnp.zeros((1,), jnp.float32),
                "v": moments.v[name],
                "v_col": moments.v_col[name],
                "v_row": moments.v_row[name],
            }
            for name, value in params.items()
        }

    def update(
        self,
        grads: Mapping[str, jax.Array],
        opt_state: train_state.OptState,
        params: Mapping[str, jax.Array],
        step: jax.Array,
        learning_rate: jax.typing.ArrayLike | None = None,
    ) -> tuple[dict[str, jax.Array], train_state.OptState]:
        """Applies one step.

        Args:
          grads: gradients, with the names and shapes of `params`.
          opt_state: slots as `init` returned them.
          params: the parameters, flat.
          step: int32 scalar, the global step *before* this update.
          learning_rate: scalar; None takes the attribute.

        Returns:
          The new parameters (dtypes kept) and the new slots.

        Raises:
          ValueError: when there is no learning rate at all.
        """
        rate = self.learning_rate if learning_rate is None else learning_rate
        if rate is None:
            raise ValueError(
                "Adafactor has no learning rate: set trainer.Trainer.learning_rate_fn or "
                "Adafactor.learning_rate."
            )
        params32 = {name: _float32(value) for name, value in params.items()}
        updates, moments = self._normalized_updates(grads, opt_state, params32, step)
        new_params, new_state = {}, {}
        for name, param in params32.items():
            change = rate * self._parameter_scale(name, param) * updates[name]
            momentum = opt_state[name]["m"]
            if self.beta1 is not None:
                change = self.beta1 * _float32(momentum) + (1.0 - self.beta1) * change
                momentum = change.astype(self.dtype_momentum)
            new_params[name] = (self._decayed(param, rate) - change).astype(params[name].dtype)
            slots = (momentum, moments.v[name], moments.v_col[name], moments.v_row[name])
            new_state[name] = dict(zip(_SLOTS, slots, strict=True))
        if self.skip_nan_updates:
            return _keep_old_if_nan(grads, (params, opt_state), (new_params, new_state))
        return new_params, new_state

    def _second_moment(self) -> optax.GradientTransformation:
        return optax.scale_by_factored_rms(
            factored=self.factored,
            decay_rate=self.decay_rate,
            step_offset=self.step_offset,
            min_dim_size_to_factor=self.min_dim_size_to_factor,
            epsilon=self.epsilon1,
        )

    def _normalized_updates(self, grads, opt_state, params32, step):
        """Returns (gradients over the root of their second moment, clipped; new moments)."""
        grads32 = {name: _float32(grads[name]) for name in params32}
        if self.global_norm_clip_threshold is not None:
            clip = optax.clip_by_global_norm(self.global_norm_clip_threshold)
            grads32, _ = clip.update(grads32, clip.init(grads32))
        # optax counts its own steps from 0; the state is built anew so that it sees the global one.
        state = optax.FactoredState(
            count=step,
            **{s: {n: opt_state[n][s] for n in params32} for s in ("v_row", "v_col", "v")},
        )
        updates, moments = self._second_moment().update(grads32, state, params32)
        if self.clipping_threshold is not None:
            clip = optax.clip_by_block_rms(self.clipping_threshold)
            updates, _ = clip.update(updates, clip.init(updates))
        return updates, moments

    def _parameter_scale(self, name: str, param: jax.Array) -> jax.typing.ArrayLike:
        scaled = self.multiply_by_parameter_scale
        if isinstance(scaled, HParamMap):
            scaled = scaled[name]
        if not scaled:
            return 1.0
        scale = jnp.maximum(jnp.sqrt(jnp.mean(param * param)), self.epsilon2)
        if self.max_parameter_scale is not None:
            scale = jnp.minimum(scale, self.max_parameter_scale)
        return scale

    def _decayed(self, param: jax.Array, rate: jax.typing.ArrayLike) -> jax.Array:
        exponent = self.weight_decay_rate_lr_exponent
        decay: Any = self.weight_decay_rate  # A number, or with the exponent an array.
        if exponent:
            decay = (1.0 if decay is None else decay) * rate**exponent
        return param if decay is None else (1.0 - decay) * param


def _float32(value: jax.typing.ArrayLike) -> jax.Array:
    return jnp.asarray(value, jnp.float32)


def _keep_old_if_nan(grads, old, new):
    is_nan = jnp.any(jnp.stack([jnp.any(jnp.isnan(g)) for g in jax.tree.leaves(grads)]))
    return jax.tree.map(lambda before, after: jnp.where(is_nan, before, after), old, new)
