# SPDX-License-Identifier: Apache-2.0
"""The parameters of a T5 under T5X's names and under HuggingFace's, with their shapes.

T5X multiplies from the right (`x @ kernel`, kernel `[in, out]`), PyTorch's linear layers hold
`[out, in]`; and T5X keeps relative position biases as `[N, buckets]`, HuggingFace as a table with a
row per bucket. These are transposed, nothing else changes. Knows names and sizes, no files.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Set

EMBEDDING = "token_embedder/embedding"
HEAD = "decoder/logits_dense/kernel"
HUGGINGFACE_EMBEDDING = "shared.weight"
HUGGINGFACE_HEAD = "lm_head.weight"
# Further names that HuggingFace's files may have for the token table.
EMBEDDING_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
# Older files have a bias table where no version of the model reads it.
UNUSED = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",)

_PROJECTIONS = {"query": "q", "key": "k", "value": "v", "out": "o"}
# (sublayer of HuggingFace's block, T5X's norm, T5X's attention, HuggingFace's attention)
_ATTENTIONS = {
    "encoder": ((0, "pre_attention_layer_norm", "attention", "SelfAttention"),),
    "decoder": (
        (0, "pre_self_attention_layer_norm", "self_attention", "SelfAttention"),
        (1, "pre_cross_attention_layer_norm", "encoder_decoder_attention", "EncDecAttention"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What the shapes follow from; T5X's words, with HuggingFace's in brackets.

    Attributes:
      vocab_size: V.
      emb_dim: H [d_model].
      num_heads: N.
      head_dim: D [d_kv].
      mlp_dim: F [d_ff].
      num_encoder_layers: [num_layers].
      num_decoder_layers: the same.
      relative_attention_num_buckets: the same.
      gated: the MLP has two input kernels, `wi_0` and `wi_1`, and not one, `wi`.
      own_head: logits have a table of their own.
    """

    vocab_size: int
    emb_dim: int
    num_heads: int
    head_dim: int
    mlp_dim: int
    num_encoder_layers: int
    num_decoder_layers: int
    relative_attention_num_buckets: int
    gated: bool
    own_head: bool


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
      name: T5X's, without `target/`.
      huggingface: HuggingFace's.
      shape: as T5X has it.
      transposed: whether HuggingFace's array is the transposed one.
    """

    name: str
    huggingface: str
    shape: tuple[int, ...]

    @property
    def transposed(self) -> bool:
        return self.name.endswith(("/kernel", "/rel_embedding"))

    @property
    def huggingface_shape(self) -> tuple[int, ...]:
        """As HuggingFace has it."""
        return self.shape[::-1] if self.transposed else self.shape


def parameters(sizes: Sizes) -> Iterator[Parameter]:
    """Every parameter of a model of these sizes."""
    width = (sizes.emb_dim,)
    yield Parameter(EMBEDDING, HUGGINGFACE_EMBEDDING, (sizes.vocab_size, sizes.emb_dim))
    for stack, layers in (
        ("encoder", sizes.num_encoder_layers),
        ("decoder", sizes.num_decoder_layers),
    ):
        yield Parameter(
            f"{stack}/relpos_bias/rel_embedding",
            f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            (sizes.num_heads, sizes.relative_attention_num_buckets),
        )
        for layer in range(layers):
            yield from _layer(sizes, stack, layer)
        yield Parameter(f"{stack}/{stack}_norm/scale", f"{stack}.final_layer_norm.weight", width)
    if sizes.own_head:
        yield Parameter(HEAD, HUGGINGFACE_HEAD, (sizes.emb_dim, sizes.vocab_size))


def _layer(sizes: Sizes, stack: str, index: int) -> Iterator[Parameter]:
    ours, theirs = f"{stack}/layers_{index}", f"{stack}.block.{index}.layer"
    width, inner = sizes.emb_dim, sizes.num_heads * sizes.head_dim
    for sublayer, norm, attention, their_attention in _ATTENTIONS[stack]:
        yield Parameter(f"{ours}/{norm}/scale", f"{theirs}.{sublayer}.layer_norm.weight", (width,))
        for projection, letter in _PROJECTIONS.items():
            yield Parameter(
                f"{ours}/{attention}/{projection}/kernel",
                f"{theirs}.{sublayer}.{their_attention}.{letter}.weight",
                (inner, width) if projection == "out" else (width, inner),
            )
    mlp = len(_ATTENTIONS[stack])
    yield Parameter(
        f"{ours}/pre_mlp_layer_norm/scale", f"{theirs}.{mlp}.layer_norm.weight", (width,)
    )
    for kernel in ("wi_0", "wi_1", "wo") if sizes.gated else ("wi", "wo"):
        yield Parameter(
            f"{ours}/mlp/{kernel}/kernel",
            f"{theirs}.{mlp}.DenseReluDense.{kernel}.weight",
            (sizes.mlp_dim, width) if kernel == "wo" else (width, sizes.mlp_dim),
        )


def sizes_of(shapes: Mapping[str, tuple[int, ...]]) -> Sizes:
    """The sizes of a model, from the shapes of its parameters under T5X's names.

    Raises:
      ValueError: a parameter that tells a size is missing or has another rank; names it.
    """
    query = _shape(shapes, "encoder/layers_0/attention/query/kernel")
    heads, buckets = _shape(shapes, "encoder/relpos_bias/rel_embedding")
    vocab_size, width = _shape(shapes, EMBEDDING)
    if query[1] % heads:
        raise ValueError(
            f"encoder/layers_0/attention/query/kernel has shape {list(query)}, which "
            f"{heads} heads (encoder/relpos_bias/rel_embedding) do not divide."
        )
    return Sizes(
        vocab_size=vocab_size,
        emb_dim=width,
        num_heads=heads,
        head_dim=query[1] // heads,
        mlp_dim=_shape(shapes, "encoder/layers_0/mlp/wo/kernel")[0],
        num_encoder_layers=_layers(shapes, "encoder"),
        num_decoder_layers=_layers(shapes, "decoder"),
        relative_attention_num_buckets=buckets,
        gated="encoder/layers_0/mlp/wi/kernel" not in shapes,
        own_head=HEAD in shapes,
    )


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, int]:
    if name not in shapes or len(shapes[name]) != 2:
        found = f"has shape {list(shapes[name])}" if name in shapes else "is missing"
        raise ValueError(f"{name} {found}; a T5 has it with two dimensions.")
    first, second = shapes[name]
    return first, second


def _layers(shapes: Mapping[str, tuple[int, ...]], stack: str) -> int:
    prefix = f"{stack}/layers_"
    return len({name.split("/")[1] for name in shapes if name.startswith(prefix)})


def check_names(wanted: Set[str], found: Mapping[str, object], place: str) -> None:
    """Refuses what lacks one of the wanted names, or has another.

    Raises:
      ValueError: names up to three of each.
    """
    missing, unknown = sorted(wanted - found.keys()), sorted(found.keys() - wanted)
    if missing or unknown:
        parts = [
            f"{what} {', '.join(names[:3])}{f' and {len(names) - 3} more' if names[3:] else ''}"
            for what, names in (("lacks", missing), ("has the unknown", unknown))
            if names
        ]
        raise ValueError(f"{place} {' and '.join(parts)}, by the sizes of the model.")


def check_shape(name: str, found: tuple[int, ...], wanted: tuple[int, ...], place: str) -> None:
    """Refuses an array of another shape.

    Raises:
      ValueError: names the array and both shapes.
    """
    if found != wanted:
        raise ValueError(f"{name} has shape {list(found)}; {place} needs {list(wanted)}.")
