# SPDX-License-Identifier: Apache-2.0
"""For tests: a decoder so small that every sequence can be scored one by one.

Its logits depend on the whole history, and it reads the history from its cache only. A search
that lets cache and sequence of a row drift apart therefore gets wrong scores.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

EOS = 1


class ToyDecoder:
    """A random table of logits, looked up by a hash of the tokens so far."""

    def __init__(self, vocabulary: int = 5, seed: int = 0, rows: int = 97):
        self.table = 2 * np.random.RandomState(seed).randn(rows, vocabulary).astype(np.float32)
        # A model that has learnt anything does not write padding.
        self.table[:, 0] = -50

    def cache(self, batch: int) -> dict[str, jax.Array]:
        """One hash per row (example b starts from b, so that examples differ) and a counter."""
        return {"hash": jnp.arange(batch), "steps": jnp.zeros((), jnp.int32)}

    def tokens_to_logits(self, state):
        """The function that the searches take."""
        cache = state.cache
        hashes = (cache["hash"] * 31 + state.cur_token[:, 0] + cache["steps"]) % len(self.table)
        new_cache = {"hash": hashes, "steps": cache["steps"] + 1}
        return jnp.asarray(self.table)[hashes], new_cache

    def log_probs(self, example: int, tokens) -> np.ndarray:
        """Log-distribution of the token after `tokens` (without the start token), `[V]`."""
        value = example
        for step, token in enumerate([0, *tokens]):
            value = (value * 31 + token + step) % len(self.table)
        logits = self.table[value].astype(np.float64)
        return logits - np.log(np.exp(logits).sum())

    def score(self, example: int, tokens) -> float:
        """Log-probability of `tokens`."""
        return sum(self.log_probs(example, tokens[:i])[t] for i, t in enumerate(tokens))

    def ended_sequences(self, length: int) -> list[tuple[int, ...]]:
        """Every sequence of at most `length` tokens that ends in EOS and has none before."""
        others = range(EOS + 1, self.table.shape[1])
        return [(*head, EOS) for n in range(length) for head in itertools.product(others, repeat=n)]
