# SPDX-License-Identifier: Apache-2.0
"""Peak memory of training a prompt, here in every policy and with PEFT, on the same weights.

  tools/bazel run -c opt //tests/benchmarks:memory_benchmark -- \
      --peer_python=$HOME/huggingface_peers/bin/python --output=$PWD/docs/memory_figures.md

Every configuration is a process of its own that takes two steps on one batch. The table has the
largest resident size of the process, by the kernel (VmHWM: interpreter, libraries, compiler and
all), and the CPU-seconds of the second step. Losses of all programs must agree first.
docs/memory_figures.md is written by this program.
"""

import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import app, flags

PEER = flags.DEFINE_string("peer_python", None, "Python that has PEFT.")
BATCH = flags.DEFINE_integer("batch", 32, "Examples of a step.", lower_bound=1)
INPUTS = flags.DEFINE_integer("inputs_length", 128, "Tokens of an input.", lower_bound=1)
TARGETS = flags.DEFINE_integer("targets_length", 8, "Tokens of a target.", lower_bound=1)
PROMPT = flags.DEFINE_integer("prompt_length", 100, "Positions of the prompt.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 1, "Processes per row; medians.", lower_bound=1)
ONLY = flags.DEFINE_list("only", [], "Names of rows to measure; default: all.")
SMALL = flags.DEFINE_bool("small", True, "T5 1.1 small; else a tiny one, for a test.")
OUTPUT = flags.DEFINE_string("output", None, "Markdown file to write; default: the terminal.")

SIZES = {
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 1024,
    "num_layers": 8,
    "num_decoder_layers": 8,
    "num_heads": 6,
}
TINY = SIZES | {"vocab_size": 128, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2}
TINY |= {"num_decoder_layers": 2, "num_heads": 2}

# Largest difference of a loss relative to PEFT's float32; the narrow ones are other numbers.
_AGREEMENT = {"float32": 1e-4, "bfloat16": 2e-2, "int8": 2e-2}


@dataclasses.dataclass(frozen=True)
class Row:
    """One configuration.

    Attributes:
        name: of `--only`.
        title: in the table.
        settings: gin macros for ours, or the request of the peer.
        peer: whose it is.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    peer: bool = False

    @property
    def weights(self) -> str:
        """What the weights are kept in."""
        return self.settings.get("frozen_dtype", self.settings.get("dtype", "float32"))


_LOW = {"scan_layers": True, "remat_policy": "full"}
ROWS = (
    Row("peft", "PEFT, float32", {"checkpointing": False}, peer=True),
    Row("peft_checkpointing", "PEFT, gradient checkpointing", {"checkpointing": True}, peer=True),
    Row("default", "default", {}),
    Row("remat", "`LAYER_REMAT='full'`", {"remat_policy": "full"}),
    Row("scan", "`SCAN_LAYERS=True`", {"scan_layers": True}),
    Row(
        "minimal",
        "`SCAN_LAYERS=True`, `LAYER_REMAT='minimal'`",
        {"scan_layers": True, "remat_policy": "minimal"},
    ),
    Row("low", "**low memory**: `SCAN_LAYERS=True`, `LAYER_REMAT='full'`", _LOW),
    Row("low_bfloat16", "the same, weights in bfloat16", _LOW | {"frozen_dtype": "bfloat16"}),
    Row("low_int8", "the same, weights in int8", _LOW | {"frozen_dtype": "int8"}),
)


class Processes:
    """Starts one process per measurement, in a folder with the model, the prompt and the batch."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.sizes = SIZES if SMALL.value else TINY
        self.files = {
            "folder": str(folder / "model"),
            "prompt": str(folder / "prompt.npy"),
            "batch": str(folder / "batch.npz"),
        }
        random = np.random.default_rng(0)
        prompt = random.normal(size=(PROMPT.value, self.sizes["d_model"]))
        np.save(self.files["prompt"], prompt.astype(np.float32))
        inputs, targets = (
            random.integers(2, self.sizes["vocab_size"], (BATCH.value, length)).astype(np.int32)
            for length in (INPUTS.value, TARGETS.value)
        )
        np.savez(
            self.files["batch"],
            encoder_input_tokens=inputs,
            decoder_input_tokens=np.pad(targets[:, :-1], ((0, 0), (1, 0))),
            decoder_target_tokens=targets,
            decoder_loss_weights=np.ones(targets.shape, np.float32),
        )
        self._run(True, {"mode": "make_model", "sizes": self.sizes})

    def measure(self, row: Row) -> dict[str, Any]:
        """The figures of one process."""
        if row.peer:
            request = {"mode": "train", "dtype": "float32", **row.settings}
        else:
            request = {"config": {"dtype": "float32", **row.settings}}
        return json.loads(self._run(row.peer, request).splitlines()[-1])

    def _run(self, peer: bool, request: dict[str, Any]) -> str:
        threads = len(os.sched_getaffinity(0))
        path = self.folder / "request.json"
        path.write_text(json.dumps(self.files | {"threads": threads} | request), encoding="utf-8")
        here = pathlib.Path(__file__).parent
        command = [PEER.value, here / "memory_peer.py"]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "JAX_PLATFORMS": "cpu"}
        environment.pop("PYTHONPATH", None)
        if not peer:
            command = [sys.executable, here / "memory_worker.py"]
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        return subprocess.run(
            [*command, path], env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout


def check_losses(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ValueError where a program's first loss is not PEFT's: it does other work."""
    if "peft" not in found:
        return
    expected = found["peft"]["losses"][0]
    for row in ROWS:
        if row.name in found:
            loss = found[row.name]["losses"][0]
            if not abs(loss / expected - 1) < _AGREEMENT[row.weights]:
                raise ValueError(
                    f"{row.name} has the loss {loss} in its first step and PEFT {expected}; they "
                    "do not do the same work, so there is nothing to compare."
                )


def table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The Markdown table, with ratios to PEFT where PEFT was measured."""
    plain, saving = (found.get(name) for name in ("peft", "peft_checkpointing"))
    lines = [
        "| | peak, MB | of PEFT float32 | second step, CPU-s | of PEFT with checkpointing | predicted, MB |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row.name not in found:
            continue
        figures = found[row.name]
        cells = [
            row.title,
            f"{figures['peak'] / 1e6:,.0f}",
            f"{figures['peak'] / plain['peak']:.2f}x" if plain else "",
            f"{figures['cpu']:.1f}",
            f"{figures['cpu'] / saving['cpu']:.2f}x" if saving else "",
            f"{figures['predicted'] / 1e6:,.0f}" if "predicted" in figures else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


_PAGE = """# Peaks of training a prompt

Written by `tests/benchmarks/memory_benchmark`, as docs/memory.md says; do not edit.

{what}

{table}

* Each row is a fresh process that reads the same HuggingFace folder and takes two steps. *Peak* is the kernel's count
  of the largest resident size of the whole process (VmHWM): interpreter, libraries, compiling and reading included.
* *Second step* is CPU time of all threads; the first one compiles. Compare within one table: machines differ.
* The first losses of all rows agreed with PEFT's: 1e-4 in float32, 2e-2 with narrower weights.
* *Predicted* is what `--dry_run` prints for that configuration: parameters, optimizer and activations alone. The
  interpreter, the libraries and the compiler come on top of it.
"""


def processor() -> str:
    """Its name, and whether it has bfloat16 units."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    features = next((line for line in lines if line.startswith("flags")), "").split()
    units = ", ".join(sorted({"avx512_bf16", "amx_bf16"} & set(features)))
    return f"{name or platform.machine()} ({units or 'no bfloat16 units'})"


def report(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page."""
    what = (
        f"T5 1.1 {'small' if SMALL.value else 'tiny'}, batch {BATCH.value}, {INPUTS.value} input tokens and "
        f"{PROMPT.value} prompt positions, {TARGETS.value} target tokens, activations in float32; "
        f"{len(os.sched_getaffinity(0))} core(s) of {processor()}, medians of {ROUNDS.value}."
    )
    return _PAGE.format(what=what, table="\n".join(table(found)))


def medians(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the numbers; the first process's losses."""
    numbers = {
        name: float(np.median([one[name] for one in figures]))
        for name in figures[0]
        if name != "losses"
    }
    return numbers | {"losses": figures[0]["losses"]}


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    unknown = set(ONLY.value) - {row.name for row in ROWS}
    if unknown:
        names = ", ".join(row.name for row in ROWS)
        raise app.UsageError(f"--only has {sorted(unknown)}; accepted are {names}.")
    rows = [row for row in ROWS if not ONLY.value or row.name in ONLY.value]
    measured: dict[str, list[dict[str, Any]]] = {row.name: [] for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        processes = Processes(pathlib.Path(folder))
        for _ in range(ROUNDS.value):
            for row in rows:
                measured[row.name].append(processes.measure(row))
                print(row.name, measured[row.name][-1], file=sys.stderr, flush=True)
    found = {name: medians(figures) for name, figures in measured.items()}
    check_losses(found)
    text = report(found)
    if not OUTPUT.value:
        print(text)
        return
    with open(OUTPUT.value + ".tmp", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(OUTPUT.value + ".tmp", OUTPUT.value)


if __name__ == "__main__":
    flags.mark_flag_as_required("peer_python")
    app.run(main)
