# SPDX-License-Identifier: Apache-2.0
"""Cross entropy with z-loss and label smoothing, and what the loss is divided by.

Semantics are those of T5X: the loss is a *sum* over target tokens unless a normalizing factor is
given. Knows logits, targets and weights, and nothing of networks or optimizers.
"""

import difflib
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array

NUM_REAL_TARGET_TOKENS = "NUM_REAL_TARGET_TOKENS"
NUM_TOTAL_TARGET_TOKENS = "NUM_TOTAL_TARGET_TOKENS"
AVERAGE_PER_SEQUENCE = "AVERAGE_PER_SEQUENCE"
SPECIAL_FACTORS = (NUM_REAL_TARGET_TOKENS, NUM_TOTAL_TARGET_TOKENS, AVERAGE_PER_SEQUENCE)


def sums_over_rows(loss_fn: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a method whose loss and metrics are sums over the rows of a batch.

    The mark belongs to this function alone: a method that overrides it, perhaps to add a term once
    for a batch, does not have it.
    """
    loss_fn.sums_over_rows = True  # type: ignore[attr-defined]
    return loss_fn


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def cross_entropy_with_logits(
    logits: Array, targets: Array, z_loss: float = 0.0
) -> tuple[Array, Array]:
    """Cross entropy against soft targets, plus `z_loss * log(Z)**2` (Z normalizes the softmax).

    The gradient is written out, `(1 + 2 * z_loss * log Z) * softmax - targets`: it needs no
    quotient of large exponentials and keeps no array but the arguments for the backward pass.

    Args:
        logits: `[..., V]`.
        targets: probabilities `[..., V]` that sum to 1.
        z_loss: coefficient; it pulls `log Z` towards 0.

    Returns:
        The loss `[...]`, z-loss included, and the z-loss alone, for which no gradient flows.
    """
    return _cross_entropy_forward(logits, targets, z_loss)[0]


def _cross_entropy_forward(logits, targets, z_loss):
    log_z = jax.nn.logsumexp(logits, axis=-1)
    z_term = z_loss * jnp.square(log_z)
    loss = -jnp.sum(targets * (logits - log_z[..., None]), axis=-1) + z_term
    return (loss, z_term), (logits, targets, log_z)


def _cross_entropy_backward(z_loss, residuals, cotangents):
    logits, targets, log_z = residuals
    log_softmax = logits - log_z[..., None]
    cotangent = cotangents[0][..., None]
    slope = (1 + 2 * z_loss * log_z)[..., None] * jnp.exp(log_softmax) - targets
    return (
        (cotangent * slope).astype(logits.dtype),
        (-cotangent * log_softmax).astype(targets.dtype),
    )


cross_entropy_with_logits.defvjp(_cross_entropy_forward, _cross_entropy_backward)


def compute_weighted_cross_entropy(
    logits: Array,
    targets: Array,
    weights: Array | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    loss_normalizing_factor: float | Array | None = None,
) -> tuple[Array, Array, Array]:
    """The training loss of a batch.

    Smoothing gives `1 - label_smoothing` to the target and shares the rest among the other
    `V - 1` rows; the entropy of that distribution is subtracted, so that the best loss is 0.

    Args:
        logits: float32 `[B, L, V]`.
        targets: int32 `[B, L]`.
        weights: float32 `[B, L]`, or None for ones.
        label_smoothing: in `[0, 1)`.
        z_loss: see `cross_entropy_with_logits`.
        loss_normalizing_factor: divides loss and z-loss; None divides by nothing.

    Returns:
        Scalars: loss (z-loss included), z-loss, sum of the weights.

    Raises:
        ValueError: if `logits` do not have exactly one axis more than `targets`.
    """
    if logits.ndim != targets.ndim + 1:
        raise ValueError(
            f"logits have shape {logits.shape} and targets {targets.shape}; logits need exactly "
            "one axis more, the vocabulary. Pass decoder_target_tokens as targets."
        )
    others = logits.shape[-1] - 1
    confidence, rest = 1.0 - label_smoothing, label_smoothing / others
    soft = jax.nn.one_hot(targets, logits.shape[-1], dtype=logits.dtype)
    if label_smoothing:
        soft = soft * (confidence - rest) + rest
    loss, z_term = cross_entropy_with_logits(logits, soft, z_loss)
    entropy = -(confidence * math.log(confidence) + others * rest * math.log(rest + 1e-20))
    loss = loss - entropy
    if weights is None:
        weights = jnp.ones(targets.shape, jnp.float32)
    factor = 1.0 if loss_normalizing_factor is None else loss_normalizing_factor
    return jnp.sum(loss * weights) / factor, jnp.sum(z_term * weights) / factor, jnp.sum(weights)


def check_loss_normalizing_factor(factor: float | str | None) -> float | str | None:
    """Upper-cases a named factor and rejects unknown names and numbers that are not above 0."""
    if factor is None:
        return None
    if isinstance(factor, str):
        name = factor.upper()
        if name in SPECIAL_FACTORS:
            return name
        close = difflib.get_close_matches(name, SPECIAL_FACTORS, n=1, cutoff=0.4)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(
            f"loss_normalizing_factor is {factor!r}; accepted are a number, None, "
            f"{', '.join(SPECIAL_FACTORS)}{hint}. Set LOSS_NORMALIZING_FACTOR."
        )
    if not factor > 0:
        raise ValueError(
            f"loss_normalizing_factor is {factor!r}; a number must be above 0. "
            "Set LOSS_NORMALIZING_FACTOR."
        )
    return factor


def get_loss_normalizing_factor_and_weights(
    loss_normalizing_factor: float | str | None, batch: Mapping[str, Array]
) -> tuple[float | Array | None, Array | None]:
    """Resolves a named normalizing factor against a batch.

    * `NUM_REAL_TARGET_TOKENS`: the sum of the loss weights.
    * `NUM_TOTAL_TARGET_TOKENS`: B * L, padding included.
    * `AVERAGE_PER_SEQUENCE`: weights are first scaled to sum to 1 in every row; the factor is the
      number of rows that have any weight.

    Args:
        loss_normalizing_factor: a number, None, or one of `SPECIAL_FACTORS` in any case.
        batch: with `decoder_target_tokens` `[B, L]`; without `decoder_loss_weights`, a named
            factor counts the targets above 0.

    Returns:
        The number to divide by (or None) and the weights `[B, L]` (or None) to use.

    Raises:
        ValueError: if the name is unknown or the number is not above 0.
    """
    factor = check_loss_normalizing_factor(loss_normalizing_factor)
    weights = batch.get("decoder_loss_weights")
    if not isinstance(factor, str):
        return factor, weights
    if weights is None:
        weights = (batch["decoder_target_tokens"] > 0).astype(jnp.float32)
    if factor == NUM_TOTAL_TARGET_TOKENS:
        return float(math.prod(batch["decoder_target_tokens"].shape)), weights
    if factor == AVERAGE_PER_SEQUENCE:
        row_sums = jnp.sum(weights, axis=-1, keepdims=True)
        weights = jnp.where(row_sums > 0, weights / jnp.where(row_sums > 0, row_sums, 1), 0)
    return jnp.sum(weights), weights
