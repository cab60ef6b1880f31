# SPDX-License-Identifier: Apache-2.0
"""`config.json` of a HuggingFace T5: what it says of the architecture, read and written.

The original T5 (ReLU, logits from the token table), T5 1.1 and its LM-adapted and Flan forms, mT5,
and UL2 (SiLU) differ in a few entries; what the network here cannot compute is refused. Reads JSON,
knows no weights and no network: the network's settings are told as `t5_config_fields`.
"""

import dataclasses
import difflib
import json
import os
from typing import Any

from prompt_tuning.checkpoints.huggingface_names import Sizes

FILE = "config.json"
GENERATION_FILE = "generation_config.json"
MODEL_TYPES = ("t5", "mt5")

# feed_forward_proj -> T5Config.mlp_activations. HuggingFace computes `gated-gelu` with the tanh
# approximation, as T5X does, but a plain `gelu` with the error function, which is not there.
ACTIVATIONS = {
    "relu": ("relu",),
    "gelu_new": ("gelu",),
    "silu": ("silu",),
    "gated-gelu": ("gelu", "linear"),
    "gated-gelu_new": ("gelu", "linear"),
    "gated-relu": ("relu", "linear"),
    "gated-silu": ("silu", "linear"),
    "gated-swish": ("silu", "linear"),
}
_ENTRIES = {
    "vocab_size": "vocab_size",
    "d_model": "emb_dim",
    "num_heads": "num_heads",
    "d_kv": "head_dim",
    "d_ff": "mlp_dim",
    "num_layers": "num_encoder_layers",
}
_NO_COUNTERPART = {
    "umt5": "it has a table of relative positions in every layer, here a stack has one",
    "longt5": "its encoder attends to a window",
    "switch_transformers": "its MLPs are mixtures of experts",
}


@dataclasses.dataclass(frozen=True)
class HuggingFaceConfig:
    """The architecture of a HuggingFace T5.

    Attributes:
      sizes: of the parameters. `sizes.own_head` is what the file promises; files of transformers 5
        promise False and may hold a table of their own (`lm_head.weight`) all the same.
      feed_forward_proj: a name of `ACTIVATIONS`.
      scale_logits: whether the decoder's output is divided by `sqrt(H)` before the logits.
      model_type: one of `MODEL_TYPES`.
      dropout_rate: of HuggingFace's training; the releases have 0.1, prompt tuning uses 0.
      relative_attention_max_distance: beyond it all distances share a bucket.
    """

    sizes: Sizes
    feed_forward_proj: str = "gated-gelu"
    scale_logits: bool = False
    model_type: str = "t5"
    dropout_rate: float = 0.1
    relative_attention_max_distance: int = 128

    def with_own_head(self, own_head: bool) -> "HuggingFaceConfig":
        """The same with the head that the weights turned out to have."""
        return dataclasses.replace(self, sizes=dataclasses.replace(self.sizes, own_head=own_head))

    def t5_config_fields(self) -> dict[str, Any]:
        """Arguments for `models.network.T5Config`, all but `dtype` and `dropout_rate`."""
        fields = dataclasses.asdict(self.sizes)
        del fields["gated"], fields["own_head"]
        return fields | {
            "mlp_activations": ACTIVATIONS[self.feed_forward_proj],
            "relative_attention_max_distance": self.relative_attention_max_distance,
            "logits_via_embedding": not self.sizes.own_head,
        }

    def to_json(self) -> dict[str, Any]:
        """The entries of `config.json`, for transformers 4 and 5 alike."""
        name = "MT5" if self.model_type == "mt5" else "T5"
        projection = self.feed_forward_proj
        activation = projection.removeprefix("gated-")
        entries = {theirs: getattr(self.sizes, ours) for theirs, ours in _ENTRIES.items()}
        return entries | {
            "architectures": [f"{name}ForConditionalGeneration"],
            "decoder_start_token_id": 0,
            "dense_act_fn": "gelu_new" if projection == "gated-gelu" else activation,
            "dropout_rate": self.dropout_rate,
            "eos_token_id": 1,
            "feed_forward_proj": projection,
            "initializer_factor": 1.0,
            "is_encoder_decoder": True,
            "is_gated_act": self.sizes.gated,
            "layer_norm_epsilon": 1e-06,
            "model_type": self.model_type,
            "num_decoder_layers": self.sizes.num_decoder_layers,
            "pad_token_id": 0,
            "relative_attention_max_distance": self.relative_attention_max_distance,
            "relative_attention_num_buckets": self.sizes.relative_attention_num_buckets,
            # Version 4 scales the logits exactly where the table is shared; 5 has its own entry.
            "scale_decoder_outputs": self.scale_logits,
            "tie_word_embeddings": not self.sizes.own_head,
            "use_cache": True,
        }


def generation_json() -> dict[str, Any]:
    """The entries of `generation_config.json`: the ids that T5's vocabularies agree on."""
    return {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}


def read_config(directory: str) -> HuggingFaceConfig:
    """Reads `config.json` of a model's folder.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is damaged, or of an architecture that has no counterpart here.
    """
    path = os.path.join(directory, FILE)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} does not exist; a HuggingFace model's folder has it.")
    with open(path, encoding="utf-8") as file:
        try:
            entries = json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is no JSON: {error}.") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{path} holds no JSON object.")
    return _Reader(path, entries).config()


class _Reader:
    """Entries of one file, with errors that name it."""

    def __init__(self, path: str, entries: dict[str, Any]):
        self.path, self.entries = path, entries

    def config(self) -> HuggingFaceConfig:
        model_type = self._model_type()
        projection = self._projection()
        self._refuse_others()
        tied = self._flag("tie_word_embeddings", True)
        sizes = {ours: self._natural(theirs) for theirs, ours in _ENTRIES.items()}
        return HuggingFaceConfig(
            Sizes(
                **sizes,
                num_decoder_layers=self._natural("num_decoder_layers", self.entries["num_layers"]),
                relative_attention_num_buckets=self._natural("relative_attention_num_buckets", 32),
                gated=projection.startswith("gated-"),
                own_head=not tied,
            ),
            projection,
            # mT5 was released without, and transformers 5 never scales it.
            model_type == "t5" and self._flag("scale_decoder_outputs", tied),
            model_type,
            self._share("dropout_rate", 0.1),
            self._natural("relative_attention_max_distance", 128),
        )

    def _model_type(self) -> str:
        model_type = self.entries.get("model_type")
        if model_type not in MODEL_TYPES:
            reason = _NO_COUNTERPART.get(str(model_type))
            raise ValueError(
                f"{self.path} has model_type {model_type!r}; accepted are "
                f"{', '.join(MODEL_TYPES)}{f' ({model_type}: {reason})' if reason else ''}."
            )
        return model_type

    def _projection(self) -> str:
        projection = self.entries.get("feed_forward_proj", "relu")
        if projection not in ACTIVATIONS:
            close = difflib.get_close_matches(str(projection), ACTIVATIONS, 1)
            raise ValueError(
                f"{self.path} has feed_forward_proj {projection!r}; accepted are "
                f"{', '.join(ACTIVATIONS)}{f' (the nearest is {close[0]})' if close else ''}."
            )
        activation = self.entries.get("dense_act_fn")
        if activation is not None:
            named = f"{'gated-' if projection.startswith('gated-') else ''}{activation}"
            if ACTIVATIONS.get(named) != ACTIVATIONS[projection]:
                raise ValueError(
                    f"{self.path} has feed_forward_proj {projection!r} but dense_act_fn "
                    f"{activation!r}; make the two agree."
                )
        return projection

    def _refuse_others(self) -> None:
        """Entries that would change what is computed."""
        expected = {
            "layer_norm_epsilon": 1e-6,
            "decoder_start_token_id": 0,
            "pad_token_id": 0,
            "is_encoder_decoder": True,
        }
        for name, value in expected.items():
            found = self.entries.get(name, value)
            if found is not None and found != value:
                raise ValueError(f"{self.path} has {name} {found!r}; only {value!r} is accepted.")
        if self.entries.get("quantization_config"):
            raise ValueError(
                f"{self.path} has a quantization_config; give the model before quantization."
            )

    def _flag(self, name: str, default: bool) -> bool:
        value = self.entries.get(name, default)
        if not isinstance(value, bool):
            raise ValueError(f"{self.path} has {name} {value!r}; it must be true or false.")
        return value

    def _share(self, name: str, default: float) -> float:
        value = self.entries.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
            raise ValueError(
                f"{self.path} has {name} {value!r}; it must be a number of at least 0 and below 1."
            )
        return float(value)

    def _natural(self, name: str, default: Any = None) -> int:
        value = self.entries.get(name)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{self.path} has {name} {value!r}; it must be an integer above 0.")
        return value
