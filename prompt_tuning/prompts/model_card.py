# SPDX-License-Identifier: Apache-2.0
"""The model card of a prompt: what an artifact's metadata say, and which pieces it is near.

Plain markdown, of nothing but its arguments: the same prompt gets the same card. Knows no file.

Shapes: `P` prompt positions, `H` embed, `V` vocabulary rows.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from prompt_tuning.checkpoints import prompt_artifact
from prompt_tuning.prompts import prompt_geometry

_NEAREST = 3


def model_card(
    metadata: prompt_artifact.Metadata,
    prompt: np.ndarray,
    embedding: np.ndarray | None = None,
    piece: Callable[[int], str] = str,
) -> str:
    """The card as markdown.

    Args:
      metadata: of the prompt.
      prompt: `[P, H]`.
      embedding: `[V, H]`, the rows of the frozen model that stand for pieces; None leaves the
        nearest pieces out.
      piece: the text of a row.
    """
    kilobytes = prompt.size * 4 / 1000
    parts = [
        f"# {metadata.name}",
        f"A soft prompt of {metadata.length} positions of width {metadata.width} (float32, "
        f"{kilobytes:.1f} kB) for a frozen T5. It is used with the base model and the vocabulary "
        "below and with no other.",
        _table(
            "Belongs to",
            {
                "base model": metadata.base_model or "not named",
                "base fingerprint": metadata.base_fingerprint,
                "vocabulary fingerprint": metadata.vocabulary_fingerprint,
                "placement": metadata.placement,
                "task": metadata.task or "not named",
            },
        ),
        _table("Metrics", dict(sorted(metadata.metrics.items()))),
        _table("Recipe", dict(sorted(metadata.recipe.items()))),
        _use(metadata),
    ]
    if embedding is not None and len(embedding) >= _NEAREST and len(prompt):
        parts.append(_nearest(prompt, embedding, piece))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(title: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    lines = [f"| {name.replace('_', ' ')} | {_text(value)} |" for name, value in rows.items()]
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *lines])


def _text(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def _use(metadata: prompt_artifact.Metadata) -> str:
    return (
        "## Use\n\n"
        "```\n"
        f"tools/bazel run //prompt_tuning:infer -- --base_model=BASE --prompt_file={metadata.name}"
        ".tar --input_file=-\n"
        "```"
    )


def _nearest(prompt: np.ndarray, embedding: np.ndarray, piece: Callable[[int], str]) -> str:
    geometry = prompt_geometry.measure(prompt, embedding, _NEAREST)
    lines = []
    for position, rows in enumerate(geometry.neighbours.tolist()):
        near = ", ".join(
            f"`{_text(piece(row)).replace('`', ' ')}` {cosine:.2f}"
            for row, cosine in zip(rows, geometry.likeness[position].tolist(), strict=True)
        )
        lines.append(f"| {position} | {geometry.norms[position]:.3g} | {near} |")
    return "\n".join(
        [
            "## Nearest pieces",
            "",
            "By cosine. Prompts rarely lie close to a piece; this is a hint at most "
            "(Lester et al. 2021, section 7).",
            "",
            "| position | norm | pieces |",
            "|---|---|---|",
            *lines,
        ]
    )
