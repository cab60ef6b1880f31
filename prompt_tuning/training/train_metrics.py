# SPDX-License-Identifier: Apache-2.0
"""T5X's scalar names, made from the metric sums of training steps.

On the device a metric is a float32 scalar *sum* over the tokens of a batch, so that batches add up;
only `summarize` divides, on the host, once per stats period. Knows no model: what is made from a
sum that a model does not report is left out.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

Metrics = dict[str, jax.Array]

# (T5X's feature name, the model's sum of its non-padding tokens, of all its positions).
_FEATURES = (
    ("encoder_input_tokens", "encoder_input_tokens", "encoder_input_positions"),
    ("decoder_target_tokens", "decoder_target_tokens", "decoder_target_positions"),
)


def weight_metrics(
    old: Mapping[str, jax.Array], new: Mapping[str, jax.Array], grads: Mapping[str, jax.Array]
) -> Metrics:
    """RMS of each trainable weight, its gradient and its update, under T5X's names."""
    metrics: Metrics = {
        "weight_gradient_norm": jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in grads.values()))
    }
    for name, before in old.items():
        weight_rms = _rms(before)
        update_rms = _rms(new[name] - before)
        metrics[f"weight_rms/{name}"] = weight_rms
        metrics[f"weight_gradient_rms/{name}"] = _rms(grads[name])
        metrics[f"weight_update_rms/{name}"] = update_rms
        metrics[f"weight_update_divided_by_weight_rms/{name}"] = update_rms / weight_rms
        metrics[f"weight_max/{name}"] = jnp.max(jnp.abs(before))
    return metrics


def summarize(
    sums: Mapping[str, float], steps: int, seconds: float | None = None, cores: int = 1
) -> dict[str, float]:
    """Turns sums over `steps` training steps into T5X's scalar tags.

    Args:
      sums: what `loss_fn` and the trainer report, added over the steps: `loss`, `z_loss`,
        `cross_ent_loss`, `correct`, `weight_sum`, `num_examples`, `learning_rate`, and per feature
        `..._tokens` and `..._positions`.
      steps: number of steps, at least 1.
      seconds: wall time they took, for the `timing/` tags; None leaves those out.
      cores: devices, for the `_per_core` tags.

    Returns:
      `{tag: value}`. `loss`, `z_loss`, `cross_ent_loss` and `learning_rate` are per step,
      `accuracy` per target token with weight.
    """
    scalars = {
        name: sums[name] / steps
        for name in ("loss", "z_loss", "cross_ent_loss", "learning_rate")
        if name in sums
    }
    _add_token_averages(scalars, sums)
    for feature, _, positions in _FEATURES:
        if "num_examples" in sums and positions in sums:
            scalars[f"effective_batch_size/{feature}"] = sums["num_examples"] / steps
    _add_padding(scalars, sums)
    if seconds is not None:
        _add_timing(scalars, sums, steps, seconds, cores)
    scalars.update({n: v / steps for n, v in sums.items() if n.startswith("weight_") and "/" in n})
    if "weight_gradient_norm" in sums:
        scalars["weight_gradient_norm"] = sums["weight_gradient_norm"] / steps
    return scalars


def _rms(value: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(jnp.square(value)))


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan


def _add_token_averages(scalars: dict[str, float], sums: Mapping[str, float]) -> None:
    weight = sums.get("weight_sum")
    positions = sums.get("decoder_target_positions")
    if weight is not None:
        if "correct" in sums:
            scalars["accuracy"] = _ratio(sums["correct"], weight)
        if "loss" in sums:
            scalars["loss_per_nonpadding_target_token"] = _ratio(sums["loss"], weight)
    if positions is not None:
        for name in ("loss", "z_loss", "cross_ent_loss"):
            if name in sums:
                scalars[f"{name}_per_all_target_tokens"] = _ratio(sums[name], positions)


def _add_padding(scalars: dict[str, float], sums: Mapping[str, float]) -> None:
    present = [names for names in _FEATURES if names[2] in sums]
    for feature, tokens, positions in present:
        scalars[f"non_padding_fraction/{feature}"] = _ratio(sums[tokens], sums[positions])
    if present:
        scalars["non_padding_fraction/overall"] = _ratio(
            sum(sums[tokens] for _, tokens, _ in present),
            sum(sums[positions] for _, _, positions in present),
        )
    if "weight_sum" in sums and "decoder_target_positions" in sums:
        scalars["non_padding_fraction/loss_weights"] = _ratio(
            sums["weight_sum"], sums["decoder_target_positions"]
        )


def _add_timing(scalars, sums, steps: int, seconds: float, cores: int) -> None:
    seqs = sums.get("num_examples")
    scalars["timing/seconds"] = seconds
    scalars["timing/steps_per_second"] = _ratio(steps, seconds)
    if seqs is not None:
        scalars["timing/seqs"] = seqs
        scalars["timing/seqs_per_second"] = _ratio(seqs, seconds)
        scalars["timing/seqs_per_second_per_core"] = _ratio(seqs, seconds * cores)
    tokens = sums.get("decoder_target_positions")
    if tokens is not None:
        scalars["timing/target_tokens_per_second"] = _ratio(tokens, seconds)
        scalars["timing/target_tokens_per_second_per_core"] = _ratio(tokens, seconds * cores)
