# SPDX-License-Identifier: Apache-2.0
"""Beam search with a brevity penalty.

Arguments and results are those of T5X's `beam_search`. Shapes are those of `decoding_state`; the
working arrays have one column more than the output, the start token. All beam axes are
ascending: the best hypothesis is the last.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from array_ops import top_k
from prompt_tuning.models import decoding_state

Array = jax.Array
NEG_INF = decoding_state.NEG_INF
gather_beams = decoding_state.gather_beams


def brevity_penalty(alpha: float, length: Array | int) -> Array:
    """`((5 + length) / 6) ** alpha`, by which a finished log-probability is divided."""
    return jnp.power((5.0 + length) / 6.0, alpha)


@flax.struct.dataclass
class BeamState:
    """Live hypotheses and finished ones.

    Attributes:
        cur_index: scalar, the column that is fed next.
        live_logprobs: float32 `[B, K]`.
        live_seqs: int32 `[B, K, L+1]`.
        finished_scores: float32 `[B, K]`, divided by the brevity penalty.
        finished_seqs: int32 `[B, K, L+1]`.
        finished_flags: bool `[B, K]`, false where a slot is still empty.
        cache: rows `b*K + k` belong to `live_seqs[b, k]`.
    """

    cur_index: Array
    live_logprobs: Array
    live_seqs: Array
    finished_scores: Array
    finished_seqs: Array
    finished_flags: Array
    cache: Any


def _start(batch: int, beams: int, columns: int, cache: Any) -> BeamState:
    # Only one live hypothesis counts at first, or all K would stay copies of each other.
    first = jnp.where(jnp.arange(beams) == beams - 1, 0.0, NEG_INF).astype(jnp.float32)
    sequences = jnp.zeros((batch, beams, columns), jnp.int32)
    return BeamState(
        cur_index=jnp.zeros((), jnp.int32),
        live_logprobs=jnp.broadcast_to(first[None, :], (batch, beams)),
        live_seqs=sequences,
        finished_scores=jnp.full((batch, beams), NEG_INF, jnp.float32),
        finished_seqs=sequences,
        finished_flags=jnp.zeros((batch, beams), bool),
        cache=decoding_state.map_rows(lambda x: decoding_state.repeat_rows(x, beams), cache),
    )


def _top_ascending(scores: Array, k: int) -> Array:
    return jnp.flip(jax.lax.top_k(scores, k)[1], axis=1)


def _candidates(log_probs: Array, forced: Array, count: int) -> tuple[Array, Array, Array]:
    """The `count` best continuations of an example's beams.

    Args:
        log_probs: `[B, K, V]`, of the hypotheses with each next token.
        forced: int32 `[B]`, the token that must come next, or 0.
        count: how many to keep.

    Returns:
        Log-probabilities, beam indices and tokens, each `[B, count]`, best first.
    """
    batch, beams, vocabulary = log_probs.shape
    best, flat = top_k.top_k(log_probs.reshape(batch, beams * vocabulary), count)
    free = (forced == 0)[:, None]
    # A forced token costs nothing and leaves one hypothesis alive.
    alone = jnp.where(jnp.arange(count) == 0, 0.0, NEG_INF)[None, :]
    tokens = jnp.where(free, flat % vocabulary, forced[:, None])
    return jnp.where(free, best, alone), flat // vocabulary, tokens


def _advance(state, log_probs, forced, cache, eos_id, alpha) -> BeamState:
    """One token more for every live hypothesis; `log_probs` `[B, K, V]`, `forced` `[B]`."""
    batch, beams, _ = log_probs.shape
    index = state.cur_index + 1
    # Of 2K candidates at most K end here, so K remain to live on.
    best, beam, tokens = _candidates(log_probs, forced, 2 * beams)
    sequences = jax.lax.dynamic_update_slice_in_dim(
        gather_beams(state.live_seqs, beam), tokens[:, :, None], index, axis=2
    )
    finished = tokens == eos_id
    live_scores = best + jnp.where(finished, NEG_INF, 0.0)
    live = _top_ascending(live_scores, beams)
    live_seqs, live_logprobs, live_beam = gather_beams((sequences, live_scores, beam), live)

    def follow(leaf):
        leaf = leaf.reshape(batch, beams, *leaf.shape[1:])
        return gather_beams(leaf, live_beam).reshape(batch * beams, *leaf.shape[2:])

    scores = best / brevity_penalty(alpha, index) + jnp.where(finished, 0.0, NEG_INF)
    # Earlier results come first, so that an empty slot wins the tie against an unfinished one.
    merged = jax.tree.map(
        lambda old, new: jnp.concatenate([old, new], axis=1),
        (state.finished_seqs, state.finished_scores, state.finished_flags),
        (sequences, scores, finished),
    )
    finished_seqs, finished_scores, finished_flags = gather_beams(
        merged, _top_ascending(merged[1], beams)
    )
    return BeamState(
        cur_index=index,
        live_logprobs=live_logprobs,
        live_seqs=live_seqs,
        finished_scores=finished_scores,
        finished_seqs=finished_seqs,
        finished_flags=finished_flags,
        cache=decoding_state.map_rows(follow, cache),
    )


def _can_improve(state: BeamState, alpha: float, length: int) -> Array:
    """Whether a live hypothesis of some example may still beat a finished one."""
    # T5X counts the start token here, and so grants live hypotheses one token more.
    best_live = state.live_logprobs[:, -1] / brevity_penalty(alpha, length + 1)
    worst_finished = jnp.min(state.finished_scores, axis=1)
    settled = jnp.all(state.finished_flags, axis=1) & (worst_finished > best_live)
    return ~jnp.all(settled)


def beam_search(
    inputs: Array,
    cache: Any,
    tokens_to_logits: decoding_state.TokensToLogits,
    eos_id: int,
    num_decodes: int = 4,
    alpha: float = 0.6,
    max_decode_len: int | None = None,
    max_decode_step: int = -1,
    min_log_prob: float = NEG_INF,
    decode_rng: Array | None = None,
) -> tuple[Array, Array]:
    """Beam search. One beam follows the greedy path, and may end where EOS comes second.

    An example with at least one finished hypothesis returns finished ones only (empty slots are
    zeros with score -1e7); one without any returns its live ones, scored by the plain sum of
    log-probabilities.

    Args:
        inputs: int32 `[B, L]`, shifted right: column 0 is ignored, non-zero tokens are forced.
        cache: the model's, with B rows; repeated `num_decodes` times.
        tokens_to_logits: one step of the model.
        eos_id: finishes a hypothesis.
        num_decodes: K, the number of beams and of results.
        alpha: exponent of the brevity penalty.
        max_decode_len: longest output; default L, and at most L.
        max_decode_step: stop after this many steps; negative is no limit.
        min_log_prob: stop when no example has a live hypothesis more probable than this.
        decode_rng: unused; the search is deterministic.

    Returns:
        Tokens int32 `[B, K, max_decode_len]` and scores float32 `[B, K]`, ascending per example.

    Raises:
        ValueError: if max_decode_len is not in `[1, L]`.
    """
    del decode_rng
    batch, beams = inputs.shape[0], num_decodes
    length = inputs.shape[1] if max_decode_len is None else max_decode_len
    if not 0 < length <= inputs.shape[1]:
        raise ValueError(
            f"max_decode_len is {length}; the targets have room for {inputs.shape[1]}. "
            "Set beam_search.max_decode_len between 1 and that, or raise TASK_FEATURE_LENGTHS."
        )
    steps = length if max_decode_step < 0 else min(length, max_decode_step)
    # `inputs` is shifted right, so nothing is known of the token after its last column.
    known = jnp.pad(inputs.astype(jnp.int32), ((0, 0), (0, 1)))

    def keep_going(state: BeamState) -> Array:
        hopeful = jnp.any(state.live_logprobs[:, -1] > min_log_prob)
        return (state.cur_index < steps) & _can_improve(state, alpha, length) & hopeful

    def body(state: BeamState) -> BeamState:
        index = state.cur_index
        token = jax.lax.dynamic_slice_in_dim(state.live_seqs, index, 1, axis=2)
        logits, new_cache = tokens_to_logits(
            decoding_state.DecodingState(
                cur_index=index,
                sequences=state.live_seqs.reshape(batch * beams, length + 1),
                cur_token=token.reshape(batch * beams, 1),
                cache=state.cache,
            )
        )
        log_probs = jax.nn.log_softmax(logits).reshape(batch, beams, -1)
        log_probs = log_probs + state.live_logprobs[:, :, None]
        forced = jax.lax.dynamic_slice_in_dim(known, index + 1, 1, axis=1)[:, 0]
        return _advance(state, log_probs, forced, new_cache, eos_id, alpha)

    state = jax.lax.while_loop(keep_going, body, _start(batch, beams, length + 1, cache))
    done = jnp.any(state.finished_flags, axis=1)[:, None]
    sequences = jnp.where(done[:, :, None], state.finished_seqs, state.live_seqs)
    return sequences[:, :, 1:], jnp.where(done, state.finished_scores, state.live_logprobs)
