# SPDX-License-Identifier: Apache-2.0
"""Where a prompt lies: its norms, its nearest pieces, how far it went, how like others it is.

Knows arrays only. All similarities are cosines; a zero vector is like nothing (0).

Shapes: `P` prompt positions, `H` embed, `V` vocabulary rows, `N` prompts, `k` neighbours.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Geometry:
    """One prompt.

    Attributes:
      norms: `[P]`, Euclidean.
      neighbours: int `[P, k]`, vocabulary rows, the likest first.
      likeness: `[P, k]`, the cosine of each.
      drift: `[P]`, Euclidean distance to the initial value; None without one.
      kept: `[P]`, the cosine with the initial value; None without one.
    """

    norms: np.ndarray
    neighbours: np.ndarray
    likeness: np.ndarray
    drift: np.ndarray | None = None
    kept: np.ndarray | None = None


def measure(
    prompt: np.ndarray, embedding: np.ndarray, nearest: int, initial: np.ndarray | None = None
) -> Geometry:
    """Measures a prompt.

    Args:
      prompt: `[P, H]`.
      embedding: `[V, H]`, the rows that count as neighbours.
      nearest: `k`, at most `V`.
      initial: `[P, H]`, where the prompt began.

    Raises:
      ValueError: The widths or lengths differ, or there are fewer rows than `nearest`.
    """
    if prompt.shape[1] != embedding.shape[1] or not 1 <= nearest <= len(embedding):
        raise ValueError(
            f"the prompt has shape {prompt.shape}, the embedding {embedding.shape}, and {nearest} "
            "neighbours are asked for; the widths must agree, and as many rows be there. Give "
            "--checkpoint_dir of the prompt's model, or change --nearest."
        )
    neighbours, likeness = nearest_rows(prompt, embedding, nearest)
    norms = np.linalg.norm(prompt, axis=1)
    if initial is None:
        return Geometry(norms, neighbours, likeness)
    if initial.shape != prompt.shape:
        raise ValueError(
            f"the prompt has shape {prompt.shape}, its initial value {initial.shape}; "
            "give the one that it was trained from: --initial."
        )
    kept = np.sum(_directions(prompt) * _directions(initial), axis=1)
    return Geometry(norms, neighbours, likeness, np.linalg.norm(prompt - initial, axis=1), kept)


def nearest_rows(
    prompt: np.ndarray, embedding: np.ndarray, nearest: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows `[P, k]` of an embedding `[V, H]` with the largest cosines `[P, k]`, best first."""
    # Dividing the products and not the table spares a copy of the table.
    lengths = np.linalg.norm(embedding, axis=1)
    products = _directions(prompt) @ embedding.T
    cosines = products / np.where(lengths > 0, lengths, np.inf)[None, :]
    best = np.argpartition(-cosines, nearest - 1, axis=1)[:, :nearest]
    order = np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    return best, np.take_along_axis(cosines, best, axis=1)


def similarity_of_averages(prompts: Sequence[np.ndarray]) -> np.ndarray:
    """Cosines `[N, N]` between the prompts' mean vectors (SPoT, Vu et al. 2022, section 4)."""
    means = _directions(np.stack([prompt.mean(axis=0) for prompt in prompts]))
    return means @ means.T


def similarity_of_positions(prompts: Sequence[np.ndarray]) -> np.ndarray:
    """Mean cosine `[N, N]` over all pairs of positions of two prompts (SPoT, section 4).

    The diagonal says how like each other a prompt's own positions are.
    """
    # The mean over all pairs of directions is the product of the mean directions.
    means = np.stack([_directions(prompt).mean(axis=0) for prompt in prompts])
    return means @ means.T


def _directions(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)
