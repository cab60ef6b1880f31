# SPDX-License-Identifier: Apache-2.0
"""A decoder without an encoder: T5 1.1's decoder, its cross-attention left out.

Inputs and targets are one sequence. The mask is causal; positions marked as inputs may in addition
see each other fully (a prefix language model, Raffel et al. 2020, section 3.2.1). As in `network`,
a prompt gets in through a subclass that overrides `embed`, here with positions before the tokens;
logits are computed for the tokens alone.

Shapes: `B` batch, `L` tokens, `S` positions, those before the tokens included, `R` rows of a
search, `H` embed, `N` heads, `D` head_dim, `V` vocabulary rows.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from prompt_tuning.models import layer_factories, layer_stack, layers, network

Array = jax.Array
T5Config = network.T5Config
# One (keys, values) pair per layer, each `[B, positions, N, D]`; of scanned layers a single pair,
# each `[B, layers, positions, N, D]`.
KeysValues = tuple[Any, ...]


class DecoderOnlyLayer(nn.Module):
    """Pre-norm self-attention and MLP, under the names that a decoder's have."""

    config: T5Config

    def setup(self) -> None:
        cfg = self.config
        self.pre_self_attention_layer_norm = layer_factories.make_norm(cfg)
        self.self_attention = layer_factories.make_attention(cfg)
        self.post_self_attention_dropout = layers.dropout(cfg.dropout_rate)
        self.pre_mlp_layer_norm = layer_factories.make_norm(cfg)
        self.mlp = layer_factories.make_mlp(cfg)
        self.post_mlp_dropout = layers.dropout(cfg.dropout_rate)

    def __call__(
        self, x: Array, keep: Array, bias: Array, deterministic: bool
    ) -> tuple[Array, tuple[Array, Array]]:
        """All positions at once; also returns their keys and values.

        Args:
            x: `[B, S, H]`.
            keep: `[B, S, 1]`, zero at padding.
            bias: `[B, N, S, S]`.
            deterministic: no dropout.
        """
        y = self.pre_self_attention_layer_norm(x) * keep
        keys_values = self.self_attention.keys_values(y)
        y = self.self_attention(y, *keys_values, bias, deterministic)
        x = x + self.post_self_attention_dropout(y, deterministic=deterministic)
        y = self.mlp(self.pre_mlp_layer_norm(x) * keep, deterministic)
        return x + self.post_mlp_dropout(y, deterministic=deterministic), keys_values

    def step(
        self, x: Array, cached: tuple[Array, Array], index: Array, bias: Array
    ) -> tuple[Array, tuple[Array, Array]]:
        """One position `[R, 1, H]`; writes its key and value at `index` `[R]` of the cached."""
        y = self.pre_self_attention_layer_norm(x)
        rows = jnp.arange(x.shape[0])
        keys, values = (
            old.at[rows, index].set(new[:, 0])
            for old, new in zip(cached, self.self_attention.keys_values(y), strict=True)
        )
        x = x + self.self_attention(y, keys, values, bias, True)
        return x + self.mlp(self.pre_mlp_layer_norm(x), True), (keys, values)


class Decoder(nn.Module):
    """Tokens to logits. `embed` and `attention_mask` are the hooks for subclasses."""

    config: T5Config

    def setup(self) -> None:
        cfg = self.config
        self.token_embedder = layers.Embed(cfg.vocab_size, cfg.emb_dim, cfg.dtype)
        self.input_dropout = layers.dropout(cfg.dropout_rate)
        self.relpos_bias = layer_factories.make_relpos_bias(cfg, bidirectional=False)
        self.layers = layer_factories.make_stack(
            cfg, lambda: DecoderOnlyLayer(cfg), cfg.num_decoder_layers
        )
        self.decoder_norm = layer_factories.make_norm(cfg)
        self.output_dropout = layers.dropout(cfg.dropout_rate)
        self.logits_dense = layer_factories.make_head(cfg, self.token_embedder)

    def embed(self, tokens: Array) -> Array:
        """`[B, L]` to what the first layer sees, `[B, S, H]`; tokens are the last `L` positions."""
        return self.token_embedder(tokens)

    def attention_mask(
        self, target_tokens: Array, causal_attention: Array | None, before: int
    ) -> Array:
        """Which position (axis 2) may attend to which (axis 3): bool `[B, 1, S, S]`.

        Args:
            target_tokens: `[B, L]`; only positions above 0 attend and are attended to.
            causal_attention: `[B, L]`, above 0 at positions that see each other fully; or None.
            before: how many positions there are before the tokens. They count as inputs.
        """
        live = _with_positions_before(target_tokens > 0, before)
        visible = jnp.tril(jnp.ones((live.shape[1],) * 2, jnp.bool_))[None]
        if causal_attention is not None:
            prefix = _with_positions_before(causal_attention > 0, before)
            visible = visible | (prefix[:, :, None] & prefix[:, None, :])
        return (visible & live[:, :, None] & live[:, None, :])[:, None]

    def _run(self, input_tokens, target_tokens, causal_attention, deterministic, extra):
        """The residual stream after the last layer, what to keep of it, all keys and values."""
        dtype = self.config.dtype
        x = self.embed(input_tokens, **extra)
        length = x.shape[1]
        before = length - input_tokens.shape[1]
        mask = self.attention_mask(target_tokens, causal_attention, before)
        bias = layers.mask_to_bias(mask, dtype) + self.relpos_bias(length, length)
        # Any real token may stand for what comes before the tokens: it is to be kept.
        stand_ins = jnp.pad(input_tokens, ((0, 0), (before, 0)), constant_values=1)
        keep = network.decoder_keep(stand_ins)[:, :, None].astype(dtype)
        x = self.input_dropout(x, deterministic=deterministic).astype(dtype)

        def run_layer(layer, x, _):
            return layer(x, keep, bias, deterministic)

        x, keys_values = layer_stack.run(
            self.layers,
            run_layer,
            x,
            count=self.config.num_decoder_layers,
            remat_policy=self.config.remat_policy,
            fetch=self.config.fetches_layers,
        )
        return x, keep, keys_values

    def __call__(
        self,
        input_tokens: Array,
        target_tokens: Array,
        causal_attention: Array | None = None,
        deterministic: bool = True,
        **extra: Any,
    ) -> Array:
        """Teacher-forced logits of the tokens, float32 `[B, L, V]`.

        Args:
            input_tokens: `[B, L]`, targets shifted right.
            target_tokens: `[B, L]`; see `attention_mask`.
            causal_attention: `[B, L]` or None; see `attention_mask`.
            deterministic: no dropout.
            **extra: for `embed`.
        """
        x, keep, _ = self._run(input_tokens, target_tokens, causal_attention, deterministic, extra)
        length = input_tokens.shape[1]
        x = self.output_dropout(self.decoder_norm(x), deterministic=deterministic) * keep
        return self.logits_dense(x[:, x.shape[1] - length :])

    def prefill(
        self,
        input_tokens: Array,
        target_tokens: Array,
        causal_attention: Array | None = None,
        **extra: Any,
    ) -> KeysValues:
        """Keys and values of every position, for `step`; arguments as for a call."""
        found = self._run(input_tokens, target_tokens, causal_attention, True, extra)[2]
        return jax.tree.map(network.rows_first, found) if self.config.scan_layers else found

    def step(self, tokens: Array, cache: KeysValues, index: Array) -> tuple[Array, KeysValues]:
        """Logits `[R, V]` after the tokens `[R, 1]`, which stand at the positions `index` `[R]`.

        Rows may be at different positions; each sees what its cache has up to its own.
        """
        dtype, scanned = self.config.dtype, self.config.scan_layers
        cache = jax.tree.map(network.layers_first, cache) if scanned else cache
        length = jax.tree.leaves(cache)[0].shape[-3]
        past = jnp.arange(length)[None, :] <= index[:, None]
        relative = jnp.take(self.relpos_bias(length, length)[0], index, axis=1, mode="clip")
        bias = layers.mask_to_bias(past, dtype)[:, None, None, :]
        bias = bias + jnp.swapaxes(relative, 0, 1)[:, :, None, :]

        def run_layer(layer, x, cached):
            return layer.step(x, cached, index, bias)

        x, grown = layer_stack.run(
            self.layers,
            run_layer,
            self.token_embedder(tokens),
            cache,
            count=self.config.num_decoder_layers,
            fetch=self.config.fetches_layers,
        )
        grown = jax.tree.map(network.rows_first, grown) if scanned else grown
        return self.logits_dense(self.decoder_norm(x))[:, 0], grown


def _with_positions_before(flags: Array, before: int) -> Array:
    """Bool `[B, L] -> [B, S]`, true at the positions before the tokens."""
    return jnp.pad(flags, ((0, 0), (before, 0)), constant_values=True)


class DecoderOnly(layer_stack.Network):
    """The whole network; every parameter's name begins with `decoder/`.

    `decoder_factory(config=...)` makes the decoder, like `network.Transformer`'s for the encoder.
    """

    config: T5Config
    decoder_factory: Callable[..., Decoder] = Decoder

    def setup(self) -> None:
        self.decoder = self.decoder_factory(config=self.config)

    def __call__(
        self,
        decoder_input_tokens: Array,
        decoder_target_tokens: Array,
        decoder_causal_attention: Array | None = None,
        deterministic: bool = True,
        **extra: Any,
    ) -> Array:
        """Teacher-forced logits, float32 `[B, L, V]`; see `Decoder.__call__`."""
        return self.decoder(
            decoder_input_tokens,
            decoder_target_tokens,
            decoder_causal_attention,
            deterministic,
            **extra,
        )

    def prefill(
        self,
        decoder_input_tokens: Array,
        decoder_target_tokens: Array,
        decoder_causal_attention: Array | None = None,
        **extra: Any,
    ) -> KeysValues:
        """Keys and values of every position; see `Decoder.prefill`."""
        return self.decoder.prefill(
            decoder_input_tokens, decoder_target_tokens, decoder_causal_attention, **extra
        )

    def decode_step(
        self, tokens: Array, cache: KeysValues, index: Array
    ) -> tuple[Array, KeysValues]:
        """Logits `[R, V]` for the position after `tokens` `[R, 1]`; see `Decoder.step`."""
        return self.decoder.step(tokens, cache, index)
