# SPDX-License-Identifier: Apache-2.0
"""Measured prompts as one HTML page: no script, no file beside it, plots as inline SVG."""

import dataclasses
import html
from collections.abc import Sequence

import numpy as np

from prompt_tuning.prompts import prompt_geometry

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1e; background: #ffffff; }
h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #e3e3e8; }
th:last-child, td:last-child { text-align: left; }
.piece { font-family: ui-monospace, monospace; background: #f1f1f5; border-radius: 3px;
         padding: 0 .25em; margin-right: .5em; white-space: pre; }
figure { margin: 1rem 0; }
figcaption { color: #55555c; }
svg { max-width: 100%; height: auto; }
"""
_INK, _FAINT, _BAR, _LINE = "#1c1c1e", "#8e8e93", "#3b6fb6", "#c2410c"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 200, 64, 26, 24


@dataclasses.dataclass(frozen=True)
class MeasuredPrompt:
    """One section of the page.

    Attributes:
      name: Of the prompt.
      geometry: What was measured.
      pieces: The text of each neighbour, `[P][k]`.
    """

    name: str
    geometry: prompt_geometry.Geometry
    pieces: Sequence[Sequence[str]]


def render(
    prompts: Sequence[MeasuredPrompt],
    similarities: dict[str, np.ndarray],
    vocabulary_norm: float,
) -> str:
    """The page.

    Args:
      prompts: At least one.
      similarities: Caption to matrix `[N, N]`; shown if there is more than one prompt.
      vocabulary_norm: The median norm of the vocabulary's rows, for comparison.
    """
    names = [prompt.name for prompt in prompts]
    sections = []
    if len(prompts) > 1:
        maps = (_figure(text, heat_map(values, names)) for text, values in similarities.items())
        sections.append(f"<h2>Similarity of the prompts</h2>{''.join(maps)}")
    sections.extend(_section(prompt, vocabulary_norm) for prompt in prompts)
    title = html.escape(", ".join(names))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Soft prompts: {title}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Soft prompts: {title}</h1>{''.join(sections)}</body></html>\n"
    )


def _section(prompt: MeasuredPrompt, vocabulary_norm: float) -> str:
    geometry = prompt.geometry
    norms = bar_chart(geometry.norms, (vocabulary_norm, "median of the vocabulary"))
    figures = [_figure("Norm of each position", norms)]
    if geometry.drift is not None:
        drift = bar_chart(geometry.drift)
        figures.append(_figure("Distance of each position from its initial value", drift))
    nearest = bar_chart(geometry.likeness[:, 0])
    figures.append(_figure("Cosine of each position with its nearest piece", nearest))
    return f"<h2>{html.escape(prompt.name)}</h2>{''.join(figures)}{_table(prompt)}"


def _figure(caption: str, picture: str) -> str:
    return f"<figure><figcaption>{html.escape(caption)}</figcaption>{picture}</figure>"


def _table(prompt: MeasuredPrompt) -> str:
    geometry = prompt.geometry
    measured = {"norm": geometry.norms, "drift": geometry.drift, "cosine with start": geometry.kept}
    columns = {name: values for name, values in measured.items() if values is not None}
    head = "".join(f"<th>{name}</th>" for name in ("position", *columns, "nearest pieces (cosine)"))
    rows = []
    for position, pieces in enumerate(prompt.pieces):
        numbers = "".join(f"<td>{values[position]:.3g}</td>" for values in columns.values())
        likeness = geometry.likeness[position]
        near = " ".join(
            f'<span class="piece">{html.escape(piece)}</span>{cosine:.2f}'
            for piece, cosine in zip(pieces, likeness, strict=True)
        )
        rows.append(f"<tr><td>{position}</td>{numbers}<td>{near}</td></tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def bar_chart(values: np.ndarray, mark: tuple[float, str] | None = None) -> str:
    """SVG with one bar for each value `[P]`, and a line across at `mark = (value, label)`."""
    every = [*values.tolist(), 0.0, *([mark[0]] if mark else [])]
    low, high = min(every), max(every)
    high = high if high > low else low + 1.0
    inner = _HEIGHT - _TOP - _BOTTOM

    def y(value: float) -> float:
        return _TOP + inner * (high - value) / (high - low)

    step = (_WIDTH - _LEFT) / len(values)
    parts = [
        f'<rect x="{_LEFT + i * step:.2f}" y="{min(y(v), y(0)):.2f}" width="{0.8 * step:.2f}" '
        f'height="{abs(y(v) - y(0)):.2f}" fill="{_BAR}"><title>{i}: {v:.4g}</title></rect>'
        for i, v in enumerate(values.tolist())
    ]
    parts.append(_line(_LEFT, y(0), _WIDTH, y(0), _INK))
    for value in sorted({low, high}):
        parts.append(_text(_LEFT - 6, y(value) + 4, f"{value:.3g}", "end"))
    last = len(values) - 1
    for position in sorted({0, last}):
        place = _LEFT + (position + 0.4) * step
        parts.append(_text(place, _HEIGHT - 8, str(position), "end" if position else "start"))
    if mark:
        parts.append(_line(_LEFT, y(mark[0]), _WIDTH, y(mark[0]), _LINE))
        # Above the bars, which may be higher than the line.
        parts.append(_text(_WIDTH - 4, _TOP - 8, f"{mark[1]} {mark[0]:.3g}", "end", _LINE))
    return _svg(_WIDTH, _HEIGHT, parts)


def heat_map(values: np.ndarray, names: Sequence[str]) -> str:
    """SVG of a matrix `[N, N]` of cosines: blue for like, red for opposite, with its numbers."""
    longest = 8 * max(len(name) for name in names)
    wide, high, left, top = max(52, longest + 8), 44, longest + 16, 30
    parts = []
    for row, name in enumerate(names):
        parts.append(_text(left - 8, top + (row + 0.5) * high + 4, name, "end"))
        parts.append(_text(left + (row + 0.5) * wide, top - 8, name, "middle"))
        for column, value in enumerate(values[row].tolist()):
            x, y = left + column * wide, top + row * high
            parts.append(
                f'<rect x="{x}" y="{y}" width="{wide - 2}" height="{high - 2}" '
                f'fill="{_colour(value)}"><title>{html.escape(name)}, '
                f"{html.escape(names[column])}: {value:.4f}</title></rect>"
            )
            ink = "#ffffff" if abs(value) > 0.55 else _INK
            parts.append(_text(x + wide / 2 - 1, y + high / 2 + 4, f"{value:.2f}", "middle", ink))
    return _svg(left + len(names) * wide, top + len(names) * high, parts)


def _colour(value: float) -> str:
    """White at 0, the bars' blue at 1, the line's red at -1."""
    end = _BAR if value >= 0 else _LINE
    share = min(abs(value), 1.0)
    channels = (int(end[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (channel - 255) * share):02x}" for channel in channels)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (
        f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" '
        f'stroke="{colour}" stroke-width="1"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, colour: str = _FAINT) -> str:
    return (
        f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}" font-size="12" '
        f'font-family="sans-serif" fill="{colour}">{html.escape(text)}</text>'
    )


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">{"".join(parts)}</svg>'
    )
