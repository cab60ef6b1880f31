# SPDX-License-Identifier: Apache-2.0
"""Which of many labels is likeliest: a beam search that walks their prefix tree.

Labels that begin alike share the decoder's work, and prefixes that are hopeless get none. A score
is the label's log-probability under the model, not renormalised over the tokens that the tree
allows, so the winner is the one that scoring every label would find. A log-probability only falls
as a prefix grows; hence a label that beats every prefix that was ever dropped is proven the best,
and `best_labels` scores all of them for a batch in which one is not.

Shapes: `B` batch, `C` labels, `L` their tokens, `K` beams, `T` input tokens, `V` vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from prompt_tuning.models import decoding_state, network

Array = jax.Array
NEG_INF = decoding_state.NEG_INF


@flax.struct.dataclass
class LabelTree:
    """The prefix tree of a set of labels. A node is named after the first label below it.

    Attributes:
        tokens: int32 `[C, L]`, padded with 0.
        nodes: int32 `[C, L+1]`, the node of each label's first 0, 1, ... `L` tokens.
    """

    tokens: Array
    nodes: Array


def label_tree(tokens: Sequence[Sequence[int]] | np.ndarray) -> LabelTree:
    """The tree of labels `[C, L]`, padded with 0; the search reads it as data, of any content.

    Raises:
        ValueError: if there are no labels, or two are equal.
    """
    tokens = np.asarray(tokens, np.int32)
    if tokens.ndim != 2 or not tokens.size:
        raise ValueError(f"labels have shape {tokens.shape}; accepted is (C, L), both at least 1.")
    nodes = np.zeros((tokens.shape[0], tokens.shape[1] + 1), np.int32)
    for depth in range(1, nodes.shape[1]):
        _, first, inverse = np.unique(
            tokens[:, :depth], axis=0, return_index=True, return_inverse=True
        )
        nodes[:, depth] = first[inverse.reshape(-1)]
    twins = np.flatnonzero(nodes[:, -1] != np.arange(len(tokens)))
    if twins.size:
        raise ValueError(
            f"labels {nodes[twins[0], -1]} and {twins[0]} have the same tokens; drop one of them."
        )
    return LabelTree(jnp.asarray(tokens), jnp.asarray(nodes))


@flax.struct.dataclass
class _State:
    """`node` int32 `[B, K]` and `scores` `[B, K]`, best first; -1 and `NEG_INF` in empty beams.

    `tokens` `[B*K, 1]` are fed next, `dropped` `[B]` is the best score of what was given up.
    """

    depth: Array
    node: Array
    scores: Array
    tokens: Array
    dropped: Array
    cache: Any


def search(
    cache: Any,
    tokens_to_logits: decoding_state.TokensToLogits,
    tree: LabelTree,
    batch: int,
    num_beams: int = 4,
) -> tuple[Array, Array, Array]:
    """The likeliest labels by beam search.

    Args:
        cache: the model's, with B rows.
        tokens_to_logits: one step of the model; sees no `sequences`.
        tree: the labels.
        batch: B.
        num_beams: prefixes that live on after each token; C and more are exact.

    Returns:
        Labels int32 `[B, K]` and their log-probabilities float32 `[B, K]`, best first, with
        `K = min(num_beams, C)`; empty beams hold -1 and -1e7. Bool `[B]`: whether the first of
        them is proven to be the best of all labels.
    """
    labels, length = tree.tokens.shape
    beams = min(num_beams, labels)

    def unfinished(state: _State) -> Array:
        grows = _column(tree.tokens, jnp.minimum(state.depth, length - 1)) > 0
        here = _column(tree.nodes, state.depth)
        alive = jnp.any(state.node[:, :, None] == here[None, None, :], axis=(0, 1))
        return (state.depth < length) & jnp.any(alive & grows)

    def body(state: _State) -> _State:
        logits, grown = tokens_to_logits(
            decoding_state.DecodingState(state.depth, state.tokens, state.tokens, state.cache)
        )
        log_probs = jax.nn.log_softmax(logits).reshape(batch, beams, -1)
        return _advance(state, log_probs, grown, tree)

    rows = batch * beams
    first = jnp.arange(beams)[None, :] == 0
    start = _State(
        depth=jnp.zeros((), jnp.int32),
        node=jnp.broadcast_to(jnp.where(first, 0, -1), (batch, beams)),
        scores=jnp.broadcast_to(jnp.where(first, 0.0, NEG_INF), (batch, beams)),
        tokens=jnp.zeros((rows, 1), jnp.int32),
        dropped=jnp.full((batch,), NEG_INF, jnp.float32),
        cache=decoding_state.map_rows(lambda x: decoding_state.repeat_rows(x, beams), cache),
    )
    end = jax.lax.while_loop(unfinished, body, start)
    return end.node, end.scores, end.scores[:, 0] >= end.dropped


def _column(table: Array, index: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(table, index, axis=1, keepdims=False)


def _advance(state: _State, log_probs: Array, cache: Any, tree: LabelTree) -> _State:
    """One token more for every live prefix; `log_probs` `[B, K, V]`."""
    batch, beams, _ = log_probs.shape
    token = _column(tree.tokens, state.depth)
    here, there = _column(tree.nodes, state.depth), _column(tree.nodes, state.depth + 1)
    of_token = jnp.where(token > 0, log_probs[:, :, token], 0.0)  # A whole label costs no more.
    # One candidate for each node of the next level: the label that it is named after.
    is_node = there == jnp.arange(len(token))
    follows = (state.node[:, :, None] == here[None, None, :]) & is_node[None, None, :]
    scores = jnp.where(follows, state.scores[:, :, None] + of_token, NEG_INF)
    best, node = jax.lax.top_k(jnp.max(scores, axis=1), min(beams + 1, len(token)))
    dropped = state.dropped
    if best.shape[1] > beams:
        dropped = jnp.maximum(dropped, best[:, beams])
    best, node = best[:, :beams], node[:, :beams]
    parent = jnp.take_along_axis(jnp.argmax(follows, axis=1), node, axis=1)

    def follow(leaf: Array) -> Array:
        leaf = leaf.reshape(batch, beams, *leaf.shape[1:])
        return decoding_state.gather_beams(leaf, parent).reshape(-1, *leaf.shape[2:])

    return _State(
        depth=state.depth + 1,
        node=jnp.where(best > NEG_INF, node, -1),
        scores=best,
        tokens=token[node].reshape(-1, 1),
        dropped=dropped,
        cache=decoding_state.map_rows(follow, cache),
    )


def best_labels(
    model: Any, params: Any, tokens: Array, tree: LabelTree, num_beams: int = 4, **extra: Any
) -> tuple[Array, Array]:
    """The likeliest label of every input, always the one that `label_scores` puts first.

    Args:
        model: `models.EncoderDecoderModel`.
        params: the parameters.
        tokens: int32 `[B, T]`.
        tree: the labels.
        num_beams: more of them spare a batch the scoring of all labels, and cost more themselves.
        **extra: for the encoder.

    Returns:
        Label int32 `[B]` and its log-probability float32 `[B]`.
    """
    module, variables, batch = model.module, {"params": params}, tokens.shape[0]
    encoded, live = module.apply(variables, tokens, method="encode", **extra)
    reads = num_beams * tree.tokens.shape[1]
    cross = module.apply(variables, encoded, reads, method="cross_memory")

    def tokens_to_logits(state: decoding_state.DecodingState) -> tuple[Array, Any]:
        return module.apply(
            variables, state.cur_token, state.cache, cross, live, method="decode_step"
        )

    cache = network.init_cache(module.config, batch, tree.tokens.shape[1])
    nodes, scores, proven = search(cache, tokens_to_logits, tree, batch, num_beams)

    def searched() -> tuple[Array, Array]:
        return nodes[:, 0], scores[:, 0]

    def scored() -> tuple[Array, Array]:
        every = model.label_scores(params, tokens, tree.tokens, **extra)
        return jnp.argmax(every, axis=1).astype(jnp.int32), jnp.max(every, axis=1)

    return jax.lax.cond(jnp.all(proven), searched, scored)
