# SPDX-License-Identifier: Apache-2.0
"""The sizes of a T5 1.1, checked once where they enter.

Knows which gin macro sets each field, so that an error can name it, but does not import gin.
"""

import dataclasses
import difflib
from typing import Any

import jax
import jax.numpy as jnp

from prompt_tuning.models import frozen_weights, layer_stack, layers

_POSITIVE_FIELDS = {
    "vocab_size": "NUM_EMBEDDINGS",
    "emb_dim": "EMBED_DIM",
    "num_heads": "NUM_HEADS",
    "head_dim": "HEAD_DIM",
    "mlp_dim": "MLP_DIM",
    "num_encoder_layers": "NUM_ENCODER_LAYERS",
    "num_decoder_layers": "NUM_DECODER_LAYERS",
    "relative_attention_num_buckets": "T5Config.relative_attention_num_buckets",
    "relative_attention_max_distance": "T5Config.relative_attention_max_distance",
}
# Elements of a bfloat16 row of 16 bytes, which matrix units read at a time.
_GPU_MULTIPLE = 8
# Not float16: activations of T5 exceed its largest number.
_DTYPES = ("bfloat16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class T5Config:
    """Sizes of a T5 1.1. Field names are T5X's; the gin macro that sets each is in brackets.

    Attributes:
        vocab_size: rows of the embedding table [NUM_EMBEDDINGS].
        emb_dim: model width H [EMBED_DIM].
        num_heads: N [NUM_HEADS].
        head_dim: D; `N * D` need not be H [HEAD_DIM].
        mlp_dim: F [MLP_DIM].
        num_encoder_layers: [NUM_ENCODER_LAYERS].
        num_decoder_layers: [NUM_DECODER_LAYERS].
        mlp_activations: one name per branch of the gated MLP.
        dropout_rate: in `[0, 1)` [DROPOUT_RATE].
        dtype: of activations; parameters are float32 always [ACTIVATION_DTYPE].
        relative_attention_num_buckets: of each stack's one table.
        relative_attention_max_distance: beyond it all distances share a bucket.
        scale: multiplies the variance of initial kernels [SCALE].
        logits_via_embedding: logits come from the token table, scaled, as in the original T5;
            T5 1.1 has a table of its own for them.
        scan_layers: run each stack as one loop over stacked parameters: big models then compile as
            fast as small ones. The numbers are the same, but for the masks of dropout
            [SCAN_LAYERS].
        remat_policy: what a backward pass computes anew and need not keep: "none", "minimal" (all
            but the products with weights) or "full" (all but what enters each layer). It saves
            memory on every backend only where layers are scanned [LAYER_REMAT].
        frozen_dtype: what the matrices that do not train are kept in: float32, bfloat16 or int8,
            see `frozen_weights` [FROZEN_WEIGHTS_DTYPE].
        frozen_memory: where what does not train lies between the layers' turns: "device", or "host"
            for a model that the device cannot hold. Then each layer is copied to the device when it
            runs; tables stay there [FROZEN_WEIGHTS_MEMORY].
        length_multiple: the encoder runs on a multiple of so many positions, the added ones masked;
            the numbers are the same, but for the masks of dropout. None is 8 on a GPU, where
            products of other shapes are slow (100 prompt positions before 128 tokens are 228), else
            1. Set it on T5Config.
    """

    vocab_size: int
    emb_dim: int
    num_heads: int
    head_dim: int
    mlp_dim: int
    num_encoder_layers: int
    num_decoder_layers: int
    mlp_activations: tuple[str, ...] = ("gelu", "linear")
    dropout_rate: float = 0.0
    dtype: Any = "bfloat16"
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    scale: float = 1.0
    logits_via_embedding: bool = False
    scan_layers: bool = False
    remat_policy: str = "none"
    frozen_dtype: str = "float32"
    frozen_memory: str = "device"
    length_multiple: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", _activation_dtype(self.dtype))
        object.__setattr__(self, "mlp_activations", tuple(self.mlp_activations))
        for field, macro in _POSITIVE_FIELDS.items():
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f"T5Config.{field} is {value!r}; it must be an integer above 0. Set {macro}."
                )
        if not 0.0 <= self.dropout_rate < 1.0:
            raise ValueError(
                f"T5Config.dropout_rate is {self.dropout_rate!r}; it must be at least 0 and below "
                "1. Set DROPOUT_RATE."
            )
        multiple = self.length_multiple
        if multiple is not None and not (type(multiple) is int and multiple > 0):
            raise ValueError(
                f"T5Config.length_multiple is {multiple!r}; it must be None or an integer above 0. "
                "Set it on T5Config."
            )
        if not self.scale > 0.0:
            raise ValueError(f"T5Config.scale is {self.scale!r}; it must be above 0. Set SCALE.")
        _check_choice("remat_policy", self.remat_policy, layer_stack.REMAT_POLICIES, "LAYER_REMAT")
        _check_choice(
            "frozen_dtype", self.frozen_dtype, frozen_weights.DTYPES, "FROZEN_WEIGHTS_DTYPE"
        )
        _check_choice(
            "frozen_memory", self.frozen_memory, ("device", "host"), "FROZEN_WEIGHTS_MEMORY"
        )
        self._check_activations()
        self._check_buckets()

    @property
    def fetches_layers(self) -> bool:
        """Whether each layer's parameters come from the host's memory when it runs."""
        return self.frozen_memory == "host"

    def replace(self, **changes: Any) -> "T5Config":
        """The same sizes with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)

    @property
    def position_multiple(self) -> int:
        """`length_multiple`, decided."""
        if self.length_multiple is not None:
            return self.length_multiple
        return _GPU_MULTIPLE if jax.default_backend() == "gpu" else 1

    def _check_activations(self) -> None:
        if not self.mlp_activations:
            raise ValueError(
                "T5Config.mlp_activations is empty; T5 1.1 has ('gelu', 'linear'). "
                "Set T5Config.mlp_activations."
            )
        for name in self.mlp_activations:
            if name not in layers.ACTIVATION_NAMES:
                raise ValueError(
                    f"T5Config.mlp_activations has {name!r}; accepted are "
                    f"{', '.join(layers.ACTIVATION_NAMES)}{_nearest(name, layers.ACTIVATION_NAMES)}"
                    ". Set T5Config.mlp_activations."
                )

    def _check_buckets(self) -> None:
        buckets = self.relative_attention_num_buckets
        distance = self.relative_attention_max_distance
        # The encoder halves the buckets twice: per sign, then into exact and logarithmic ones.
        if buckets % 4 or distance <= buckets // 2:
            raise ValueError(
                f"T5Config has relative_attention_num_buckets={buckets} and "
                f"relative_attention_max_distance={distance}; the first must be a multiple of 4 "
                "and the second more than half of it (T5: 32 and 128). Set them on T5Config."
            )


def _check_choice(field: str, value: Any, accepted: tuple[str, ...], macro: str) -> None:
    if value not in accepted:
        raise ValueError(
            f"T5Config.{field} is {value!r}; accepted are {', '.join(accepted)}"
            f"{_nearest(value, accepted)}. Set {macro}."
        )


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _activation_dtype(dtype: Any) -> jnp.dtype:
    try:
        result = jnp.dtype(dtype)
    except TypeError:
        result = None
    if result is None or result.name not in _DTYPES:
        raise ValueError(
            f"T5Config.dtype is {dtype!r}; accepted are {', '.join(_DTYPES)}"
            f"{_nearest(dtype, _DTYPES)}. Set ACTIVATION_DTYPE."
        )
    return result
