# SPDX-License-Identifier: Apache-2.0
"""T5 1.1 as a network: encoder, decoder, and the transformer that joins them.

Knows tokens, masks and padding, but no prompt, no loss and no search. What puts a prompt before
the input is a subclass of `Encoder`: it overrides `embed` (more positions) and, where it must,
`attention_mask`; whatever keyword arguments it takes travel through `encode(**extra)`.

Two facts of T5X's models that are easy to lose, because they only show at padding:
* after every norm, positions that hold no token are multiplied by zero;
* token 0 is both padding and the first decoder input, so the decoder keeps position 0, every
  token above 0, and every position whose successor is above 0.

Shape letters are those of ARCHITECTURE.md.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from prompt_tuning.models import layer_factories, layer_stack, layers, t5_config
from prompt_tuning.models.activation_axes import named

Array = jax.Array
T5Config = t5_config.T5Config
# What each decoder layer reads of the encoded input; see `layers.MultiHeadAttention.memory`. Of
# scanned layers one memory, with an axis of layers behind that of rows, or the input itself.
CrossMemory = tuple[layers.Memory, ...] | Array
Cache = dict[str, Any]


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and MLP, each added to the residual stream.

    A subclass may set `attention_class` and `mlp_class` to subclasses of what they are here.
    """

    config: T5Config
    attention_class = layers.MultiHeadAttention
    mlp_class = layers.MlpBlock

    def setup(self) -> None:
        cfg = self.config
        self.pre_attention_layer_norm = layer_factories.make_norm(cfg)
        self.attention = layer_factories.make_attention(cfg, self.attention_class)
        self.post_attention_dropout = layers.dropout(cfg.dropout_rate)
        self.pre_mlp_layer_norm = layer_factories.make_norm(cfg)
        self.mlp = layer_factories.make_mlp(cfg, self.mlp_class)
        self.post_mlp_dropout = layers.dropout(cfg.dropout_rate)

    def __call__(self, x: Array, keep: Array, bias: Array, deterministic: bool) -> Array:
        """`x` `[B, S, H]`, `keep` `[B, S, 1]` zeroes padding, `bias` `[B, N, S, S]`."""
        y = self.pre_attention_layer_norm(x) * keep
        y = self.attention(y, *self.attention.keys_values(y), bias, deterministic)
        x = x + self.post_attention_dropout(y, deterministic=deterministic)
        y = self.mlp(self.pre_mlp_layer_norm(x) * keep, deterministic)
        x = x + self.post_mlp_dropout(y, deterministic=deterministic)
        return named(x, "batch", "length", "embed")


class Encoder(nn.Module):
    """Tokens to encoded positions.

    `embed`, `attention_mask` and `make_layer` are the hooks for subclasses.
    """

    config: T5Config
    token_embedder: nn.Module

    def setup(self) -> None:
        cfg = self.config
        self.input_dropout = layers.dropout(cfg.dropout_rate)
        self.relpos_bias = layer_factories.make_relpos_bias(cfg, bidirectional=True)
        self.layers = layer_factories.make_stack(cfg, self.make_layer, cfg.num_encoder_layers)
        self.encoder_norm = layer_factories.make_norm(cfg)
        self.output_dropout = layers.dropout(cfg.dropout_rate)

    def make_layer(self) -> EncoderLayer:
        """A new layer; called once for each layer of the stack, or once for all if scanned."""
        return EncoderLayer(self.config)

    @property
    def residual_dtype(self) -> jnp.dtype:
        """Of the residual stream; a hook for layers that add something of another dtype."""
        return self.config.dtype

    def embed(self, tokens: Array) -> tuple[Array, Array]:
        """`[B, T]` to what the first layer sees.

        A subclass may return more positions than tokens and take keyword arguments of its own.

        Returns:
            `x` `[B, S, H]` before dropout, and `live` bool `[B, S]`: which positions are real.
        """
        return self.token_embedder(tokens), tokens > 0

    def attention_mask(self, tokens: Array, live: Array) -> Array:
        """Which position (axis 2) may attend to which (axis 3): `[B, 1, S, S]`."""
        del tokens
        return live[:, None, :, None] & live[:, None, None, :]

    def __call__(
        self, tokens: Array, deterministic: bool = True, **extra: Any
    ) -> tuple[Array, Array]:
        """`[B, T]` -> encoded `[B, S, H]` in the activation dtype, and `live` bool `[B, S]`."""
        dtype = self.config.dtype
        x, live = self.embed(tokens, **extra)
        length, added = x.shape[1], -x.shape[1] % self.config.position_multiple
        # What is added is masked like padding, so nothing that is real sees it.
        mask = jnp.pad(self.attention_mask(tokens, live), ((0, 0), (0, 0), (0, added), (0, added)))
        x = jnp.pad(x, ((0, 0), (0, added), (0, 0)))
        bias = layers.mask_to_bias(mask, dtype) + self.relpos_bias(length + added, length + added)
        keep = jnp.pad(live, ((0, 0), (0, added)))[:, :, None].astype(dtype)
        x = self.input_dropout(x, deterministic=deterministic).astype(dtype)
        x = named(x, "batch", "length", "embed")

        def run_layer(layer, x, _):
            return layer(x, keep, bias, deterministic), None

        x, _ = layer_stack.run(
            self.layers,
            run_layer,
            x.astype(self.residual_dtype),
            count=self.config.num_encoder_layers,
            remat_policy=self.config.remat_policy,
            fetch=self.config.fetches_layers,
        )
        x = self.output_dropout(self.encoder_norm(x), deterministic=deterministic)
        return (x * keep)[:, :length], live


class DecoderLayer(nn.Module):
    """Pre-norm causal self-attention, attention to the encoded input, and MLP.

    Its classes of attention and MLP are hooks as in `EncoderLayer`.
    """

    config: T5Config
    attention_class = layers.MultiHeadAttention
    mlp_class = layers.MlpBlock

    def setup(self) -> None:
        cfg = self.config
        self.pre_self_attention_layer_norm = layer_factories.make_norm(cfg)
        self.self_attention = layer_factories.make_attention(cfg, self.attention_class)
        self.post_self_attention_dropout = layers.dropout(cfg.dropout_rate)
        self.pre_cross_attention_layer_norm = layer_factories.make_norm(cfg)
        self.encoder_decoder_attention = layer_factories.make_attention(cfg, self.attention_class)
        self.post_cross_attention_dropout = layers.dropout(cfg.dropout_rate)
        self.pre_mlp_layer_norm = layer_factories.make_norm(cfg)
        self.mlp = layer_factories.make_mlp(cfg, self.mlp_class)
        self.post_mlp_dropout = layers.dropout(cfg.dropout_rate)

    def __call__(
        self,
        x: Array,
        keep: Array,
        self_bias: Array,
        cross: layers.Memory,
        cross_bias: Array,
        deterministic: bool,
    ) -> Array:
        """All target positions at once.

        Args:
            x: `[R, L, H]`, where R is a multiple of the encoded batch B.
            keep: `[R, L, 1]`, zero at padding.
            self_bias: `[R, N, L, L]`.
            cross: of the encoded input `[B, S, H]`, from its attention's `memory`.
            cross_bias: `[B, 1, R/B*L, S]`.
            deterministic: no dropout.
        """
        y = self.pre_self_attention_layer_norm(x) * keep
        y = self.self_attention(y, *self.self_attention.keys_values(y), self_bias, deterministic)
        x = x + self.post_self_attention_dropout(y, deterministic=deterministic)
        return self._rest(x, keep, cross, cross_bias, deterministic)

    def step(
        self,
        x: Array,
        cached: tuple[Array, Array],
        index: Array,
        self_bias: Array,
        cross: layers.Memory,
        cross_bias: Array,
    ) -> tuple[Array, tuple[Array, Array]]:
        """One position `[R, 1, H]`; writes its key and value at `index` of the cached ones."""
        y = self.pre_self_attention_layer_norm(x)
        keys, values = (
            jax.lax.dynamic_update_slice_in_dim(old, new, index, axis=1)
            for old, new in zip(cached, self.self_attention.keys_values(y), strict=True)
        )
        x = x + self.self_attention(y, keys, values, self_bias, True)
        return self._rest(x, None, cross, cross_bias, True), (keys, values)

    def _rest(self, x, keep, cross, cross_bias, deterministic):
        """Cross-attention and MLP; `keep` None keeps every position."""
        y = self.pre_cross_attention_layer_norm(x)
        y = y if keep is None else y * keep
        y = self.encoder_decoder_attention.recall(y, cross, cross_bias, deterministic)
        x = x + self.post_cross_attention_dropout(y, deterministic=deterministic)
        y = self.pre_mlp_layer_norm(x)
        y = self.mlp(y if keep is None else y * keep, deterministic)
        x = x + self.post_mlp_dropout(y, deterministic=deterministic)
        return named(x, "batch", "length", "embed")


def decoder_keep(tokens: Array) -> Array:
    """Which decoder positions count, bool `[R, L]`: 0 is padding and also the first input."""
    real = tokens > 0
    following = jnp.pad(real[:, 1:], ((0, 0), (0, 1)))
    first = jnp.arange(tokens.shape[1])[None, :] == 0
    return real | following | first


class Decoder(nn.Module):
    """Decoder tokens and encoded input to logits; all positions at once, or one with a cache."""

    config: T5Config
    token_embedder: layers.Embed

    def setup(self) -> None:
        cfg = self.config
        self.input_dropout = layers.dropout(cfg.dropout_rate)
        self.relpos_bias = layer_factories.make_relpos_bias(cfg, bidirectional=False)
        self.layers = layer_factories.make_stack(cfg, self.make_layer, cfg.num_decoder_layers)
        self.decoder_norm = layer_factories.make_norm(cfg)
        self.output_dropout = layers.dropout(cfg.dropout_rate)
        self.logits_dense = layer_factories.make_head(cfg, self.token_embedder)

    def make_layer(self) -> DecoderLayer:
        """A new layer, as the encoder's. The hook for subclasses."""
        return DecoderLayer(self.config)

    def __call__(
        self,
        encoded: Array,
        live: Array,
        input_tokens: Array,
        target_tokens: Array,
        deterministic: bool = True,
    ) -> Array:
        """Teacher-forced logits, float32 `[R, L, V]`.

        `R` may be a multiple of the encoded batch: row `b*M + m` then reads `encoded[b]`.

        Args:
            encoded: `[B, S, H]`.
            live: bool `[B, S]`, which encoded positions are real.
            input_tokens: `[R, L]`, targets shifted right.
            target_tokens: `[R, L]`; only positions above 0 attend and are attended to.
            deterministic: no dropout.
        """
        dtype = self.config.dtype
        length = input_tokens.shape[1]
        real = target_tokens > 0
        causal = jnp.tril(jnp.ones((length, length), bool))[None, None]
        self_mask = causal & real[:, None, :, None] & real[:, None, None, :]
        self_bias = layers.mask_to_bias(self_mask, dtype) + self.relpos_bias(length, length)
        cross_mask = real.reshape(encoded.shape[0], -1)[:, None, :, None] & live[:, None, None, :]
        cross_bias = layers.mask_to_bias(cross_mask, dtype)
        keep = decoder_keep(input_tokens)[:, :, None].astype(dtype)
        x = self.token_embedder(input_tokens)
        x = self.input_dropout(x, deterministic=deterministic).astype(dtype)
        x = named(x, "batch", "length", "embed")
        reads = real.size // encoded.shape[0]

        def run_layer(layer, x, _):
            cross = layer.encoder_decoder_attention.memory(encoded, reads)
            return layer(x, keep, self_bias, cross, cross_bias, deterministic), None

        x, _ = layer_stack.run(
            self.layers,
            run_layer,
            x,
            count=self.config.num_decoder_layers,
            remat_policy=self.config.remat_policy,
            fetch=self.config.fetches_layers,
        )
        x = self.output_dropout(self.decoder_norm(x), deterministic=deterministic)
        return named(self.logits_dense(x * keep), "batch", "length", "vocab")

    def cross_memory(self, encoded: Array, reads: int) -> CrossMemory:
        """What every layer reads of the encoded input `[B, S, H]`, for `reads` target positions.

        More positions than `reads` get the same numbers, more slowly.
        """
        scanned = self.config.scan_layers

        def remember(layer, carry, _):
            memory = layer.encoder_decoder_attention.memory(encoded, reads)
            # A loop would copy the input for each layer.
            return carry, None if scanned and memory is encoded else memory

        _, found = layer_stack.run(
            self.layers,
            remember,
            (),
            count=self.config.num_decoder_layers,
            fetch=self.config.fetches_layers,
        )
        if not scanned:
            return found
        return encoded if found is None else jax.tree.map(rows_first, found)

    def step(
        self, tokens: Array, cache: Cache, cross: CrossMemory, live: Array
    ) -> tuple[Array, Cache]:
        """Logits `[R, V]` after one more token `[R, 1]`, and the cache that includes it."""
        dtype, index = self.config.dtype, cache["index"]
        each: Any = cross
        scanned, cached, shared = self.config.scan_layers, cache["layers"], None
        if scanned:
            # One memory for all layers is not an input of the loop.
            each, shared = (cross, None) if isinstance(cross, tuple) else (None, cross)
            cached, each = jax.tree.map(layers_first, (cached, each))
        length = jax.tree.leaves(cached)[0].shape[-3]
        past = (jnp.arange(length) <= index)[None, None, None, :]
        self_bias = layers.mask_to_bias(past, dtype) + self.relpos_bias.at(index, length)
        cross_bias = layers.mask_to_bias(live[:, None, None, :], dtype)

        def run_layer(layer, x, own):
            cached, memory = own
            memory = shared if memory is None else memory
            return layer.step(x, cached, index, self_bias, memory, cross_bias)

        x, grown = layer_stack.run(
            self.layers,
            run_layer,
            self.token_embedder(tokens),
            (cached, each) if scanned else tuple(zip(cached, each, strict=True)),
            count=self.config.num_decoder_layers,
            fetch=self.config.fetches_layers,
        )
        grown = jax.tree.map(rows_first, grown) if scanned else grown
        logits = self.logits_dense(self.decoder_norm(x))[:, 0]
        return logits, {"index": index + 1, "layers": grown}


def layers_first(leaf: Array) -> Array:
    """A cache of scanned layers, `[R, layers, ...]`, as the loop over them reads it."""
    return jnp.moveaxis(leaf, 1, 0)


def rows_first(leaf: Array) -> Array:
    """The inverse of `layers_first`: searches pick rows of every cache on axis 0."""
    return jnp.moveaxis(leaf, 0, 1)


def init_cache(config: T5Config, rows: int, length: int) -> Cache:
    """An empty decoder cache for `rows` sequences of at most `length` tokens."""
    shape = (length, config.num_heads, config.head_dim)
    if config.scan_layers:
        zeros = jnp.zeros((rows, config.num_decoder_layers, *shape), config.dtype)
        return {"index": jnp.zeros((), jnp.int32), "layers": (zeros, zeros)}
    zeros = jnp.zeros((rows, *shape), config.dtype)
    pairs = tuple((zeros, zeros) for _ in range(config.num_decoder_layers))
    return {"index": jnp.zeros((), jnp.int32), "layers": pairs}


class Transformer(layer_stack.Network):
    """Encoder and decoder over one token table.

    `encoder_factory(config=..., token_embedder=...)` makes the encoder; a partially applied
    subclass of `Encoder` is how a prompt gets in. A subclass may set `decoder_class`.
    """

    config: T5Config
    encoder_factory: Callable[..., Encoder] = Encoder
    decoder_class = Decoder

    def setup(self) -> None:
        cfg = self.config
        self.token_embedder = layers.Embed(cfg.vocab_size, cfg.emb_dim, cfg.dtype)
        self.encoder = self.encoder_factory(config=cfg, token_embedder=self.token_embedder)
        self.decoder = self.decoder_class(config=cfg, token_embedder=self.token_embedder)

    def encode(
        self, encoder_input_tokens: Array, deterministic: bool = True, **extra: Any
    ) -> tuple[Array, Array]:
        """`[B, T]` -> encoded `[B, S, H]`, live bool `[B, S]`; `extra` goes to `Encoder.embed`."""
        return self.encoder(encoder_input_tokens, deterministic, **extra)

    def decode(
        self,
        encoded: Array,
        live: Array,
        decoder_input_tokens: Array,
        decoder_target_tokens: Array,
        deterministic: bool = True,
    ) -> Array:
        """Logits, float32 `[R, L, V]`; see `Decoder.__call__`."""
        return self.decoder(
            encoded, live, decoder_input_tokens, decoder_target_tokens, deterministic
        )

    def cross_memory(self, encoded: Array, reads: int) -> CrossMemory:
        """What `decode_step` needs to know of the encoded input; computed once per input.

        Args:
            encoded: `[B, S, H]`.
            reads: target positions per input, those of all its beams or samples together.
        """
        return self.decoder.cross_memory(encoded, reads)

    def decode_step(
        self, tokens: Array, cache: Cache, cross: CrossMemory, live: Array
    ) -> tuple[Array, Cache]:
        """Logits `[R, V]` for the position after `tokens` `[R, 1]`; see `Decoder.step`."""
        return self.decoder.step(tokens, cache, cross, live)

    def __call__(
        self,
        encoder_input_tokens: Array,
        decoder_input_tokens: Array,
        decoder_target_tokens: Array,
        deterministic: bool = True,
        **extra: Any,
    ) -> Array:
        """Teacher-forced logits, float32 `[B, L, V]`."""
        encoded, live = self.encode(encoder_input_tokens, deterministic, **extra)
        return self.decode(
            encoded, live, decoder_input_tokens, decoder_target_tokens, deterministic
        )
