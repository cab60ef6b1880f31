# SPDX-License-Identifier: Apache-2.0
"""Sampling with a temperature, optionally among the top tokens only; temperature 0 is greedy.

Arguments and results are those of T5X's `temperature_sample`, down to the use of random keys.
Shapes are those of `decoding_state`. The working array `sequences` has a column before the
output (the start token) and one after it (a bin for rows that are full while others go on).
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from array_ops import argmax, top_k
from prompt_tuning.models import decoding_state

Array = jax.Array
NEG_INF = decoding_state.NEG_INF

# At or below this a temperature means greedy: dividing by it would overflow.
MIN_TEMPERATURE = 1e-4


@flax.struct.dataclass
class SamplingLoopState:
    """What the callbacks of `temperature_sample` see; the fields are T5X's.

    Attributes:
        step: scalar, number of steps done.
        cur_index: int32 `[R]`, column of `cur_token`.
        sequences: int32 `[R, L+2]`.
        cache: the model's cache.
        cur_token: int32 `[R, 1]`.
        ended: bool `[R, 1]`.
        rng: key of the steps to come.
        log_prob: float32 `[R]`, sum over the tokens sampled so far.
    """

    step: Array
    cur_index: Array
    sequences: Array
    cache: Any
    cur_token: Array
    ended: Array
    rng: Array
    log_prob: Array


def topk_mask(logits: Array, k: int) -> Array:
    """Sets all but the `k` largest of each row `[R, V]` to `NEG_INF`; ties of the last stay."""
    smallest_kept = top_k.top_k(logits, min(k, logits.shape[-1]))[0][:, -1:]
    return jnp.where(logits >= smallest_kept, logits, NEG_INF)


def topp_mask(logits: Array, p: float | Array) -> Array:
    """Keeps the smallest set of tokens of each row `[R, V]` whose probability reaches `p`."""
    probabilities = jax.nn.softmax(logits)
    descending = -jnp.sort(-probabilities, axis=-1)
    too_few = jnp.sum(jnp.cumsum(descending, axis=-1) < p, axis=-1, keepdims=True)
    # Rounding can leave even the whole row below p: then everything stays.
    last_kept = jnp.minimum(too_few, logits.shape[-1] - 1)
    threshold = jnp.take_along_axis(descending, last_kept, axis=-1)
    return jnp.where(probabilities >= threshold, logits, NEG_INF)


def _log_prob(logits: Array, tokens: Array) -> Array:
    return jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, None], axis=-1)[:, 0]


def _greedy(logits: Array, rescale_log_probs: bool) -> tuple[Array, Array]:
    """The likeliest token of each row; it is certain if temperature counts, so it scores 0."""
    tokens = argmax.argmax(logits)
    if rescale_log_probs:
        return tokens, jnp.zeros(tokens.shape, jnp.float32)
    return tokens, _log_prob(logits, tokens)


def _sample(logits, rng, temperature, topk, topp, rescale_log_probs):
    """One token per row and its log-probability, each `[R]`; `temperature` is `[R]`."""
    scaled = logits / jnp.maximum(temperature, MIN_TEMPERATURE)[:, None]
    if topk:
        scaled = topk_mask(scaled, topk)
    if topp:
        scaled = topp_mask(scaled, topp)
    tokens = jax.random.categorical(rng, scaled).astype(jnp.int32)
    log_prob = _log_prob(scaled if rescale_log_probs else logits, tokens)
    greedy_tokens, greedy_log_prob = _greedy(logits, rescale_log_probs)
    is_greedy = temperature <= MIN_TEMPERATURE
    return (
        jnp.where(is_greedy, greedy_tokens, tokens),
        jnp.where(is_greedy, greedy_log_prob, log_prob),
    )


def _check(inputs, topk, topp, max_decode_steps, temperature) -> None:
    batch, length = inputs.shape
    if topk and topp:
        raise ValueError(
            f"topk is {topk} and topp is {topp}; at most one of them may be non-zero. "
            "Set temperature_sample.topk or temperature_sample.topp to 0."
        )
    if isinstance(max_decode_steps, int) and max_decode_steps > length:
        raise ValueError(
            f"max_decode_steps is {max_decode_steps}; the targets have room for {length}. "
            "Lower temperature_sample.max_decode_steps or raise TASK_FEATURE_LENGTHS."
        )
    if jnp.ndim(temperature) and jnp.shape(temperature) != (batch,):
        raise ValueError(
            f"temperature has shape {jnp.shape(temperature)}; accepted are a number or one per "
            f"example, ({batch},). Set temperature_sample.temperature."
        )


def _start(rows: Array, cache: Any, rng: Array | None, index: Array | None) -> SamplingLoopState:
    count = rows.shape[0]
    sequences = jnp.pad(rows, ((0, 0), (0, 2)))
    if index is None:
        index, token = jnp.zeros((count,), jnp.int32), jnp.zeros((count, 1), jnp.int32)
    else:
        index = index.astype(jnp.int32)
        token = jnp.take_along_axis(sequences, index[:, None], axis=1)
    return SamplingLoopState(
        step=jnp.zeros((), jnp.int32),
        cur_index=index,
        sequences=sequences,
        cache=cache,
        cur_token=token,
        ended=jnp.zeros((count, 1), bool),
        rng=jax.random.PRNGKey(0) if rng is None else rng,
        log_prob=jnp.zeros((count,), jnp.float32),
    )


def _ends(rows: Array, max_steps: int | Array | None, hard_limit: int | None) -> Array:
    """How many tokens each row may have, `[R]`; limits count behind the forced ones."""
    length = jnp.full(rows.shape[:1], rows.shape[1], jnp.int32)
    if max_steps is None:
        return length
    if hard_limit is not None and hard_limit > 0:
        max_steps = jnp.minimum(max_steps, hard_limit)
    return jnp.minimum(length, jnp.sum(rows != 0, axis=1) + max_steps)


def _advance(state, chosen, log_prob, cache, rng, end, eos_id) -> SamplingLoopState:
    """Writes the chosen tokens `[R]`, or the forced ones; `end` `[R]` is where rows are full."""
    index = jnp.minimum(state.cur_index, end)
    forced = jnp.take_along_axis(state.sequences, index[:, None] + 1, axis=1)[:, 0]
    free, ended = forced == 0, state.ended[:, 0]
    token = jnp.where(ended, 0, jnp.where(free, chosen, forced))
    column = jnp.arange(state.sequences.shape[1])[None, :] == index[:, None] + 1
    # An end token that was forced does not end the row; only a sampled one does.
    now_ended = ended | (free & (token == eos_id)) | (index >= end - 1)
    return SamplingLoopState(
        step=state.step + 1,
        cur_index=index + 1,
        sequences=jnp.where(column, token[:, None], state.sequences),
        cache=cache,
        cur_token=token[:, None],
        ended=now_ended[:, None],
        rng=rng,
        log_prob=state.log_prob + jnp.where(free & ~ended, log_prob, 0.0),
    )


def temperature_sample(
    inputs: Array,
    cache: Any,
    tokens_to_logits: decoding_state.TokensToLogits,
    eos_id: int,
    decode_rng: Array | None = None,
    num_decodes: int = 1,
    temperature: float | Array = 1.0,
    topk: int = 1,
    topp: float = 0.0,
    initial_index: Array | None = None,
    max_decode_steps: int | Array | None = None,
    max_decode_steps_hard_limit: int | None = None,
    rescale_log_probs: bool = True,
    state_callback_fn: Callable[[SamplingLoopState], SamplingLoopState] | None = None,
    logit_callback_fn: Callable[[Array, SamplingLoopState], Array] | None = None,
) -> tuple[Array, Array]:
    """Samples `num_decodes` continuations of every example.

    One key per step is split from `decode_rng` and shared by all rows, as in T5X, so the same key
    gives the same tokens. With one temperature per example rows still draw independent noise
    (T5X gives all rows the same).

    Args:
        inputs: int32 `[B, L]`, shifted right: column 0 is ignored, non-zero tokens are forced.
        cache: the model's, with B rows; repeated `num_decodes` times.
        tokens_to_logits: one step of the model.
        eos_id: ends a row when it is sampled; zeros follow.
        decode_rng: default `jax.random.PRNGKey(0)`.
        num_decodes: K.
        temperature: a number or one per example `[B]`; at most 1e-4 is greedy.
        topk: sample among the k most probable tokens; 0 is off.
        topp: sample among the fewest tokens that together reach this probability; 0 is off.
        initial_index: int32 `[B]`, where each example starts when the cache holds a prefix.
        max_decode_steps: at most this many tokens after the forced ones.
        max_decode_steps_hard_limit: a cap on `max_decode_steps`.
        rescale_log_probs: score with temperature, topk and topp applied (greedy scores 0).
        state_callback_fn: replaces the loop state before each step and at the end.
        logit_callback_fn: replaces the logits `[R, V]` of each step.

    Returns:
        Tokens int32 `[B, K, L]` and log-probabilities float32 `[B, K]`, ascending per example.

    Raises:
        ValueError: if topk and topp are both set, or max_decode_steps or temperature do not fit.
    """
    _check(inputs, topk, topp, max_decode_steps, temperature)
    state_callback_fn = state_callback_fn or (lambda state: state)
    logit_callback_fn = logit_callback_fn or (lambda logits, _: logits)
    batch, length = inputs.shape
    rows = decoding_state.repeat_rows(inputs.astype(jnp.int32), num_decodes)
    end = _ends(rows, max_decode_steps, max_decode_steps_hard_limit)
    # A temperature known to be 0 while tracing spares the loop its random numbers.
    always_greedy = isinstance(temperature, int | float) and temperature <= MIN_TEMPERATURE
    temperatures = jnp.broadcast_to(jnp.asarray(temperature, jnp.float32), (batch,))
    temperatures = decoding_state.repeat_rows(temperatures, num_decodes)

    def body(state: SamplingLoopState) -> SamplingLoopState:
        state = state_callback_fn(state)
        step_rng, rng = jax.random.split(state.rng)
        logits, new_cache = tokens_to_logits(
            decoding_state.DecodingState(
                state.cur_index, state.sequences[:, :-2], state.cur_token, state.cache
            )
        )
        logits = logit_callback_fn(logits, state)
        if always_greedy:
            chosen = _greedy(logits, rescale_log_probs)
        else:
            chosen = _sample(logits, step_rng, temperatures, topk, topp, rescale_log_probs)
        return _advance(state, *chosen, new_cache, rng, end, eos_id)

    def repeat(x):
        return decoding_state.repeat_rows(x, num_decodes)

    index = None if initial_index is None else repeat(initial_index)
    state = _start(rows, decoding_state.map_rows(repeat, cache), decode_rng, index)
    state = state_callback_fn(jax.lax.while_loop(lambda s: ~jnp.all(s.ended), body, state))
    decodes = state.sequences[:, 1:-1].reshape(batch, num_decodes, length)
    log_probs = state.log_prob.reshape(batch, num_decodes)
    return decoding_state.gather_beams((decodes, log_probs), jnp.argsort(log_probs, axis=-1))
