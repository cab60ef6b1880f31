# SPDX-License-Identifier: Apache-2.0
"""T5X's decoder-only model: inputs and targets in one sequence, loss on the targets.

Batches are those of T5X's prefix-LM features. A search first reads the inputs of all examples at
once, each of its own length, and then goes on from where each ends.

Shape letters are those of ARCHITECTURE.md; `L` counts inputs and targets together.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from prompt_tuning.models import decoding, models

Array = jax.Array

# What stands in a search's tokens for the positions before them; it is never read.
_STAND_IN_TOKEN = 2


def remove_prefix(sequences: Array, prefix_lengths: Array) -> Array:
    """Shifts each row `[B, ..., L]` left by its prefix length `[B]`; zeros come in behind."""
    length = sequences.shape[-1]
    lengths = prefix_lengths.reshape(-1, *(1,) * (sequences.ndim - 1))
    source = jnp.arange(length).reshape((1,) * (sequences.ndim - 1) + (length,)) + lengths
    index = jnp.broadcast_to(jnp.minimum(source, length - 1), sequences.shape)
    return jnp.where(source < length, jnp.take_along_axis(sequences, index, axis=-1), 0)


class DecoderOnlyModel(models.BaseTransformerModel):
    """A `decoder_only_network.DecoderOnly` and what is done with it.

    A batch has `decoder_input_tokens`, `decoder_target_tokens`, `decoder_loss_weights` and
    `decoder_causal_attention`, all `[B, L]`. The last is 1 at the start token and the inputs: one
    position more than there are input tokens.

    Attributes:
        inputs_bidirectional_attention: inputs see each other fully.
    """

    counted_features = ("decoder_target",)

    def __init__(
        self,
        module: nn.Module,
        vocabulary: Any,
        optimizer_def: Any,
        decode_fn: Callable[..., tuple[Array, Array]] = decoding.temperature_sample,
        inputs_bidirectional_attention: bool = False,
        **kwargs: Any,
    ):
        """Keeps what it is given.

        Args:
            module: the network.
            vocabulary: of inputs and targets.
            optimizer_def: kept for the trainer.
            decode_fn: takes `initial_index`, as `decoding.temperature_sample` does.
            inputs_bidirectional_attention: see the class.
            **kwargs: `feature_converter_cls`, the settings of the loss and the defaults of
                decoding of `BaseTransformerModel`.
        """
        super().__init__(module, vocabulary, vocabulary, optimizer_def, decode_fn, **kwargs)
        self.inputs_bidirectional_attention = inputs_bidirectional_attention

    def get_initial_variables(
        self,
        rng: Array,
        input_shapes: Mapping[str, tuple[int, ...]],
        input_types: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Fresh parameters, `{"params": tree}`; needs the shape of `decoder_input_tokens`."""
        name = "decoder_input_tokens"
        tokens = jnp.ones(input_shapes[name], (input_types or {}).get(name, jnp.int32))
        return jax.jit(self.module.init)(rng, tokens, tokens)

    def _causal_attention(self, batch: models.Batch) -> Array | None:
        """What lets inputs see each other; None where they do not."""
        if not self.inputs_bidirectional_attention:
            return None
        return batch["decoder_causal_attention"]

    def _compute_logits(
        self,
        params: models.Params,
        batch: models.Batch,
        dropout_rng: Array | None,
        extra: Mapping[str, Any],
    ) -> Array:
        return self.module.apply(
            {"params": params},
            batch["decoder_input_tokens"],
            batch["decoder_target_tokens"],
            self._causal_attention(batch),
            **self._dropout(dropout_rng),
            **extra,
        )

    def predict_batch_with_aux(
        self,
        params: models.Params,
        batch: models.Batch,
        rng: Array | None = None,
        *,
        return_all_decodes: bool | None = None,
        num_decodes: int | None = None,
        decoder_params: Mapping[str, Any] | None = None,
        **extra: Any,
    ) -> tuple[Array, dict[str, Array]]:
        """Continues the inputs of every example.

        Args:
            params: the parameters.
            batch: `decoder_input_tokens` and `decoder_causal_attention`, `[B, L]`. Targets in the
                former are not looked at.
            rng: key of the samples; or give `decode_rng` in `decoder_params`.
            return_all_decodes: default from `default_decoder_params`.
            num_decodes: default from `default_decoder_params`.
            decoder_params: more arguments of `decode_fn`.
            **extra: for the network's `embed`.

        Returns:
            The continuations alone, `[B, L]`, zeros behind, with `{"scores": [B]}`; with
            `return_all_decodes`, `[B, num_decodes, L]` and `[B, num_decodes]`, best last. Inputs
            and continuation together have at most L tokens.

        Raises:
            ValueError: if both `rng` and `decoder_params["decode_rng"]` are given.
        """
        is_input = batch["decoder_causal_attention"]
        inputs = batch["decoder_input_tokens"] * is_input
        # As targets, the marks make the start token count as one of the positions to attend to.
        cache = self.module.apply(
            {"params": params},
            inputs,
            is_input,
            self._causal_attention(batch),
            method="prefill",
            **extra,
        )
        length = inputs.shape[1]
        before = jax.tree.leaves(cache)[0].shape[-3] - length
        # The last input token is fed once more, to get the first logits.
        start = jnp.maximum(jnp.sum(is_input, axis=1) - 1, 0) + before

        def tokens_to_logits(state: decoding.DecodingState) -> tuple[Array, Any]:
            return self.module.apply(
                {"params": params},
                state.cur_token,
                state.cache,
                state.cur_index,
                method="decode_step",
            )

        decodes, aux = self._search(
            jnp.pad(inputs, ((0, 0), (before, 0)), constant_values=_STAND_IN_TOKEN),
            cache,
            tokens_to_logits,
            rng,
            decoder_params,
            return_all_decodes,
            num_decodes,
            initial_index=start,
        )
        return remove_prefix(decodes, start)[..., :length], aux
