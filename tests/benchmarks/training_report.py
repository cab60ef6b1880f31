# SPDX-License-Identifier: Apache-2.0
"""The page that shows what training_benchmark measured: tables and a plot of its JSON files.

  tools/bazel run //tests/benchmarks:training_report -- --output=$PWD/docs/training_speed \
      small.json base.json

Writes FILE_figures.md, which docs/training_speed.md explains, and FILE.svg. Files of `--device=gpu`
become a table of their own.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import app, flags

from tests.benchmarks import gpu_cases

OUTPUT = flags.DEFINE_string("output", None, "FILE of FILE_figures.md and FILE.svg.")

_BAR, _GAP, _LEFT, _WIDTH = 16, 10, 230, 460
_COLOURS = {
    "ours": "#2a6fb0",
    "peer": "#c8743c",
    "512 wide": "#8a8a8a",
    "512 wide, XLA": "#c4c4c4",
}
_NAMES = {
    "ours": "this project",
    "peer": "PEFT",
    "512 wide": "this project, padded to 512",
    "512 wide, XLA": "the same on XLA's kernels",
}


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def fixed_rows(results: dict[str, Any]) -> list[str]:
    """A table line for each fixed batch."""
    rows = []
    for case in results["fixed"]:
        ours, peer = case["seconds"]["ours"], case["seconds"]["peer"]
        best = max(case["matmul_gflops"].values())
        start = case["first_step_cpu"]
        rows.append(
            _row(
                f"{results['size']} {case['dtype']} B{case['batch']}",
                f"**{peer['cpu'] / ours['cpu']:.2f}x**",
                f"{ours['cpu']:.3f} / {peer['cpu']:.3f}",
                f"{peer['wall'] / ours['wall']:.2f}x",
                f"{case['minimum_gflop'] / ours['cpu'] / best:.0%} / "
                f"{case['minimum_gflop'] / peer['cpu'] / best:.0%}",
                f"{case['peak']['ours']['bytes'] / 1e6:.0f} / "
                f"{case['peak']['peer']['bytes'] / 1e6:.0f}",
                f"{start['ours']:.1f} cold, {start['ours, compiled before']:.1f} warm / "
                f"{start['peer']:.1f}",
            )
        )
    return rows


def text_rows(results: dict[str, Any]) -> list[str]:
    """A table line for each epoch of texts."""
    rows = []
    for case in results["texts"]:
        seconds = {name: found["cpu"] for name, found in case["seconds"].items()}
        rows.append(
            _row(
                f"{results['size']} {case['dtype']}, {case['texts']} texts",
                f"**{seconds['peer'] / seconds['ours']:.2f}x**",
                f"**{seconds['512 wide, XLA'] / seconds['ours']:.2f}x**",
                f"**{seconds['512 wide'] / seconds['ours']:.2f}x**",
                " / ".join(f"{seconds[name]:.2f}" for name in _NAMES),
            )
        )
    return rows


def gpu_rows(results: dict[str, Any]) -> list[str]:
    """A table line for each program on each batch."""
    rows = []
    for run in results["gpu"]:
        best = max(run["matmul_gflops"].values())
        for case in run["cases"]:
            for name, found in case["seconds"].items():
                label = f"{results['size']} {case['dtype']} B{case['batch']}"
                program = _NAMES.get(name, name)
                if "out_of_memory" in found:
                    rows.append(_row(label, program, "out of memory", *[""] * 5))
                    continue
                peer = case["seconds"].get(gpu_cases.PEER, {}).get("pass")
                start = run["start"][name]
                rows.append(
                    _row(
                        label,
                        program,
                        f"{1e3 * found['pass']:.1f}",
                        f"{1e3 * found['wait']:.1f}",
                        f"{peer / found['pass']:.2f}x" if peer else "",
                        f"{gpu_cases.share(case, name, best):.0%}",
                        f"{found['device_bytes'] / 1e9:.1f}",
                        f"{start['load']:.1f} + {start['step']:.1f}",
                    )
                )
    return rows


def gpu_markdown(measured: Sequence[dict[str, Any]]) -> str:
    """The table of a GPU, and what ran on it."""
    runs = [run for results in measured for run in results["gpu"]]
    about = ", ".join(f"{name} {value}" for name, value in runs[0]["about"].items())
    rates = [max(run["matmul_gflops"].values()) / 1e3 for run in runs]
    lines = [
        f"{about}; one product of 8192³: {min(rates):.0f} to {max(rates):.0f} TFLOP/s.",
        "",
        _row("fixed shape", "program", "ms a step", "with a wait", "against PEFT", "of matmul rate",
             "peak GB", "s to open + first step"),
        _row(*["---"] * 8),
        *(row for results in measured for row in gpu_rows(results)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def markdown(measured: Sequence[dict[str, Any]]) -> str:
    """All tables and the machines they were measured on."""
    parts = (
        (cpu_markdown, [results for results in measured if "gpu" not in results]),
        (gpu_markdown, [results for results in measured if "gpu" in results]),
    )
    return "\n".join(write(found) for write, found in parts if found)


def cpu_markdown(measured: Sequence[dict[str, Any]]) -> str:
    """Both tables of a CPU."""
    machine = measured[0]["machine"]
    lines = [
        f"{machine['processor']}, bfloat16 units: {', '.join(machine['bf16_units']) or 'none'}; "
        f"{machine['cores']} core(s) used; load when it began: {machine['load']:.1f}.",
        "",
        _row("fixed shape", "speed", "CPU-s", "by wall", "of matmul peak", "peak MB",
             "CPU-s to first step"),
        _row(*["---"] * 7),
        *(row for results in measured for row in fixed_rows(results)),
        "",
        _row("from text to updates", "against PEFT", "against 512 wide on XLA's kernels",
             "against 512 wide on ours", "CPU-s of an epoch, in this order"),
        _row(*["---"] * 5),
        *(row for results in measured for row in text_rows(results)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _bars(measured: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, float]]]:
    groups = []
    for results in measured:
        for case in results["fixed"]:
            label = f"{results['size']} {case['dtype']} B{case['batch']}"
            groups.append((label, {n: found["cpu"] for n, found in case["seconds"].items()}))
        for case in results["texts"]:
            label = f"{results['size']} {case['dtype']} texts"
            groups.append((label, {n: found["cpu"] for n, found in case["seconds"].items()}))
    return groups


def svg(measured: Sequence[dict[str, Any]]) -> str:
    """Bars of CPU-seconds, each group relative to PEFT; the line is PEFT."""
    parts, top = [], 30
    for label, seconds in _bars(measured):
        parts.append(f'<text x="8" y="{top + _BAR}">{label}</text>')
        for name, value in seconds.items():
            ratio = value / seconds["peer"]
            width = min(ratio, 2.6) * _WIDTH / 2.6
            parts.append(
                f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR - 3}" '
                f'fill="{_COLOURS[name]}"/>'
                f'<text x="{_LEFT + width + 5:.1f}" y="{top + _BAR - 5}">{ratio:.2f}</text>'
            )
            top += _BAR
        top += _GAP
    legend = "".join(
        f'<rect x="{_LEFT + 170 * index}" y="8" width="10" height="10" fill="{colour}"/>'
        f'<text x="{_LEFT + 14 + 170 * index}" y="17">{_NAMES[name]}</text>'
        for index, (name, colour) in enumerate(_COLOURS.items())
    )
    line = _LEFT + _WIDTH / 2.6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 230}" height="{top}" '
        'font-family="sans-serif" font-size="12">'
        '<title>CPU-seconds relative to PEFT; less is better</title>'
        f'<rect width="100%" height="100%" fill="white"/>{legend}{"".join(parts)}'
        f'<line x1="{line:.1f}" y1="24" x2="{line:.1f}" y2="{top}" stroke="#c8743c" '
        'stroke-dasharray="4 3"/></svg>\n'
    )  # fmt: skip


def main(argv: Sequence[str]) -> None:
    """Reads the files named on the command line and writes page and plot."""
    if len(argv) < 2:
        raise app.UsageError("give at least one JSON file of training_benchmark.")
    measured = [json.loads(pathlib.Path(name).read_text(encoding="utf-8")) for name in argv[1:]]
    text = markdown(measured)
    print(text)
    if OUTPUT.value:
        plotted = [results for results in measured if "gpu" not in results]
        files = [("_figures.md", text), *([(".svg", svg(plotted))] if plotted else [])]
        for name, content in files:
            path = pathlib.Path(OUTPUT.value + name)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(content, encoding="utf-8")
            temporary.replace(path)


if __name__ == "__main__":
    app.run(main)
