# SPDX-License-Identifier: Apache-2.0
"""Sampling in which every row of a batch has random numbers of its own.

`sampling.temperature_sample` draws one array of noise for the whole batch, as T5X does, so an
answer depends on the row's place and on the batch's size. Here each row gets what it would get
alone in its batch with its own key. Inputs are encoded together; only the search is per row.

Shapes: `B` batch, `T` input tokens, `L` target tokens, `K` decodes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from prompt_tuning.models import decoding, decoding_state, network

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Arguments of `decoding.temperature_sample`.

    Attributes:
        temperature: at most 1e-4 is greedy.
        topk: sample among the k most probable tokens; 0 is off.
        topp: sample among the fewest tokens that together reach this probability; 0 is off.

    Raises:
        ValueError: if a number is out of its range, or both topk and topp are set.
    """

    temperature: float = 1.0
    topk: int = 0
    topp: float = 0.0

    def __post_init__(self):
        if self.temperature < 0 or self.topk < 0 or not 0 <= self.topp <= 1:
            raise ValueError(
                f"temperature is {self.temperature}, topk {self.topk} and topp {self.topp}; "
                "accepted are at least 0, at least 0 and 0 to 1."
            )
        if self.topk and self.topp:
            raise ValueError(
                f"topk is {self.topk} and topp is {self.topp}; at most one of them may be set."
            )


def sample(
    model: Any,
    params: Any,
    tokens: Array,
    keys: Array,
    length: int,
    settings: Sampling,
    num_decodes: int = 1,
    **extra: Any,
) -> tuple[Array, Array]:
    """Samples answers; row `b` is `temperature_sample` of that row alone with `keys[b]`.

    Args:
        model: `models.EncoderDecoderModel`; its own `decode_fn` plays no part.
        params: the parameters.
        tokens: int32 `[B, T]`.
        keys: `[B]` typed keys, or `[B, 2]` raw ones.
        length: L.
        settings: temperature and truncation.
        num_decodes: K.
        **extra: for the encoder.

    Returns:
        Tokens int32 `[B, K, L]` and log-probabilities float32 `[B, K]`, ascending per example.
    """
    module, variables = model.module, {"params": params}
    encoded, live = module.apply(variables, tokens, method="encode", **extra)
    cross = module.apply(variables, encoded, num_decodes * length, method="cross_memory")

    def alone(key: Array, cross: Any, live: Array) -> tuple[Array, Array]:
        cross, live = jax.tree.map(lambda x: x[None], (cross, live))

        def tokens_to_logits(state: decoding_state.DecodingState) -> tuple[Array, Any]:
            return module.apply(
                variables, state.cur_token, state.cache, cross, live, method="decode_step"
            )

        decodes, scores = decoding.temperature_sample(
            jnp.zeros((1, length), jnp.int32),
            network.init_cache(module.config, 1, length),
            tokens_to_logits,
            model.eos_id,
            decode_rng=key,
            num_decodes=num_decodes,
            **dataclasses.asdict(settings),
        )
        return decodes[0], scores[0]

    return jax.vmap(alone)(keys, cross, live)
