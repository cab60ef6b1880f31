# SPDX-License-Identifier: Apache-2.0
"""What a run would work on, as text: parameters, batches, memory. `--dry_run` prints it.

A pure report: it traces the model for shapes, and computes, reads and writes nothing more than the
prompt's initializer does.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from prompt_tuning.data import token_rows
from prompt_tuning.runs import (
    early_checks,
    initialization,
    model_info,
    preparation,
    summary,
    topology,
)

# Where a task's lengths are measured when the run begins, something has to stand for them.
_UNKNOWN_LENGTHS = {"inputs": 512, "targets": 64}
_FLOAT32 = 4


def report(settings: Mapping[str, Any]) -> str:
    """The three tables, if the run would get as far as reading its data.

    Args:
      settings: the arguments of `train`, `evaluate` or `infer`.

    Raises:
      ValueError, FileNotFoundError: the model cannot be made, its optimizer selects nothing, or as
        `preparation.prepare`, which the runs call too.
    """
    model, config = settings["model"], _dataset(settings)
    prepared = preparation.prepare(
        model,
        early_checks.restore_of(settings),
        settings.get("partitioner"),
        (settings.get("train_dataset_cfg"), settings.get("train_eval_dataset_cfg")),
        settings.get("prompt_file"),
    )
    lengths = (config.task_feature_lengths if config else None) or _UNKNOWN_LENGTHS
    batch = config.batch_size if config else 1
    shapes = batch_shapes(batch, lengths)
    params = initialization.parameter_shapes(model, shapes)
    trains = "train_dataset_cfg" in settings
    trainable = model.optimizer_def.trainable(params) if trains else []
    measured = config is not None and config.task_feature_lengths is None
    at_once = batch
    groups = topology.row_groups(prepared.part, token_rows.LENGTH_BUCKETS)
    if trains and groups and model.rows_are_separate:
        at_once = groups.group_rows(batch)
    note = ", lengths measured when the run begins; shown for" if measured else ""
    return "\n".join(
        [
            "# Parameters",
            model_info.text(params, set(trainable)),
            f"# Batch (the widest; narrower ones are used where they suffice{note})",
            *(f"int32  {str(shape):>14}  {name}" for name, shape in shapes.items()),
            "",
            "# Memory, estimated for one device",
            *memory_lines(model, params, trainable, at_once, lengths),
        ]
    )


def batch_shapes(batch: int, lengths: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """{model feature: [B, T] or [B, L]}."""
    encoder, decoder = (batch, lengths["inputs"]), (batch, lengths["targets"])
    return {
        "encoder_input_tokens": encoder,
        "decoder_input_tokens": decoder,
        "decoder_target_tokens": decoder,
        "decoder_loss_weights": decoder,
    }


def memory_lines(model, params, trainable, batch: int, lengths) -> list[str]:
    """A line for each part and their sum; without trainable parameters, those of a forward pass."""
    parts = memory_parts(model, params, trainable, batch, lengths)
    parts["in all"] = sum(parts.values())
    return [f"{summary.size(value):>12}  {name}" for name, value in parts.items() if value]


def memory_parts(model, params, trainable, batch: int, lengths) -> dict[str, int]:
    """Bytes of each part. The process itself (interpreter, libraries, compiler) is not among them.

    Args:
      model: `models.EncoderDecoderModel`.
      params: the shapes of all parameters, flat.
      trainable: names of those that train.
      batch: B, rows that are computed at once.
      lengths: T and L, `{"inputs": T, "targets": L}`.
    """
    chosen = {name: params[name] for name in trainable}
    prompt = sum(leaf.shape[0] for name, leaf in params.items() if "/prompt/" in name)
    activations = activation_bytes(model.module.config, batch, lengths, prompt, bool(trainable))
    frozen = {name: leaf for name, leaf in params.items() if name not in chosen}
    return {
        "frozen parameters": _bytes(model.arrange(frozen)),
        "trained parameters": _bytes(chosen),
        "their gradients": _bytes(chosen),
        "their optimizer state": _state_bytes(model, chosen) if chosen else 0,
        "activations": activations,
    }


def activation_bytes(config, batch: int, lengths, prompt: int, backward: bool) -> int:
    """Roughly the values that live at the same time.

    A backward pass needs those of all layers: per position the residual stream and its norms (H),
    queries, keys, values and outputs (N D), the three products of the MLP (F), and per pair of
    positions the attention logits and weights of every head. A forward pass needs one layer's.
    Rematerialisation keeps the residual stream of each layer, "minimal" also its products with
    weights, and one layer's values at a time; counted only for scanned layers, because a compiler
    need not make the saving where layers are unrolled.

    Args:
      config: `models.T5Config`.
      batch: B.
      lengths: T and L.
      prompt: P.
      backward: whether there is a backward pass.
    """
    inputs, targets = prompt + lengths["inputs"], lengths["targets"]
    joined, heads = config.num_heads * config.head_dim, config.num_heads
    position = 4 * config.emb_dim + 4 * joined + 3 * config.mlp_dim
    encoder = inputs * position + 2 * heads * inputs**2
    decoder = targets * (position + 2 * config.emb_dim + 2 * joined) + 2 * inputs * joined
    decoder += 2 * heads * targets * (targets + inputs)
    layers = max(encoder, decoder)
    counts = config.num_encoder_layers, config.num_decoder_layers
    if backward and config.scan_layers and config.remat_policy != "none":
        kept = config.emb_dim
        if config.remat_policy == "minimal":
            kept += 2 * config.emb_dim + 3 * joined + 2 * config.mlp_dim
        layers += kept * (counts[0] * inputs + counts[1] * targets)
    elif backward:
        layers = counts[0] * encoder + counts[1] * decoder
    logits = 3 * targets * config.vocab_size * _FLOAT32
    return batch * (layers * np.dtype(config.dtype).itemsize + logits)


def _dataset(settings: Mapping[str, Any]) -> Any | None:
    return settings.get("train_dataset_cfg") or settings.get("dataset_cfg")


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _state_bytes(model, chosen: Mapping[str, jax.ShapeDtypeStruct]) -> int:
    return _bytes(jax.eval_shape(model.optimizer_def.init, dict(chosen)))
