# SPDX-License-Identifier: Apache-2.0
"""What training_benchmark measures on a GPU: seconds by the clock, the share of the card, its memory.

A step there is short and runs while the host is at the next one, so a pass is many steps and ends
with the last one's loss, as both sides train; the same with a wait after each step is given beside.
The card's rate is the best that either library reaches in one large product. Batches grow, because
a peak of memory only does.

Knows programs by what they answer (`training_worker`), not how they are started.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

# Seconds that a pass should take, and how many steps it may have.
_PASS_SECONDS = 0.6
_FEWEST, _MOST = 3, 50
OURS, SCANNED, PEER = "ours", "ours, scanned layers", "peer"


class Program(Protocol):
    """A process that trains."""

    name: str
    first_step: dict[str, Any]

    def ask(self, command: str) -> dict[str, Any]:
        """Sends one command and waits for its answer."""

    def close(self) -> None:
        """Ends it."""


class Programs(Protocol):
    """Starts programs on the same weights."""

    def start(self, side: str, name: str, **request: Any) -> Program:
        """Starts `ours` or `peer` and waits for its first step."""

    def check(self, name: str) -> dict[str, str]:
        """What a request has under "check"."""

    def differences(self, dtype: str, ours: str) -> dict[str, float]:
        """Compares what the programs of these names wrote; raises ValueError if it differs."""

    def fixed_batch(self, batch: int) -> str:
        """The file of a batch."""

    def minimum_gflop(self, batch: int) -> float:
        """What one step on it cannot do without."""


def timed(programs: Sequence[Program], rounds: int) -> dict[str, dict[str, Any]]:
    """Median seconds of a step of each program, in turns; a card too small for it is said.

    Returns:
      `{name: {"pass": s, "wait": s, "device_bytes": peak}}` or `{name: {"out_of_memory": True}}`.
    """
    found: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for program in programs:
        if program.ask("pass 2").get("out_of_memory"):  # Compiles, and fills caches.
            found[program.name] = {"out_of_memory": True}
            continue
        seconds = program.ask(f"pass {_FEWEST}")["wall"]
        counts[program.name] = int(np.clip(_PASS_SECONDS / seconds, _FEWEST, _MOST))
    fitting = [program for program in programs if program.name in counts]
    for command, turns in (("pass", rounds), ("wait", rounds // 2 + 1)):
        passes: dict[str, list[float]] = {program.name: [] for program in fitting}
        for _ in range(turns):
            for program in fitting:
                answer = program.ask(f"{command} {counts[program.name]}")
                passes[program.name].append(answer["wall"])
        for name, walls in passes.items():
            found.setdefault(name, {})[command] = float(np.median(walls))
    for program in fitting:
        found[program.name]["device_bytes"] = program.ask("peak")["device_bytes"]
    return found


def measure(
    programs: Programs,
    dtype: str,
    batches: Sequence[int],
    rounds: int,
    *,
    together: bool,
    scanned: bool,
) -> Iterator[dict[str, Any]]:
    """All programs on all batches; gives what is known so far after each of them.

    Args:
      programs: of one model.
      dtype: of activations and frozen weights.
      batches: sizes.
      rounds: passes of each program.
      together: all are on the card at a time and take turns; else one after the other.
      scanned: also ours with a loop over the layers.

    Raises:
      ValueError: logits or gradients of the prompt differ.
    """
    names = [OURS, PEER, SCANNED] if scanned else [OURS, PEER]
    groups = [names] if together else [[name] for name in names]
    checked: list[str] = []
    batches = sorted(batches)
    cases = {
        batch: {
            "batch": batch,
            "dtype": dtype,
            "minimum_gflop": programs.minimum_gflop(batch),
            "seconds": {},
        }
        for batch in batches
    }
    result: dict[str, Any] = {
        "dtype": dtype,
        "about": {},
        "start": {},
        "differences": {},
        "matmul_gflops": {},
        "cases": list(cases.values()),
    }
    for group in groups:
        with contextlib.ExitStack() as stack:
            running = []
            for name in group:
                running.append(_start(programs, name, dtype, batches[0]))
                stack.callback(running[-1].close)
            for program in running:
                first = program.first_step
                result["start"][program.name] = {key: first[key] for key in ("load", "step")}
                result["about"] |= first["about"]
            checked += group
            if PEER in checked:
                for name in set(checked) - {PEER} - result["differences"].keys():
                    result["differences"][name] = programs.differences(dtype, name)
            _run_batches(programs, running, cases, rounds)
            for program in running:
                result["matmul_gflops"][program.name] = program.ask("matmul")["gflops"]
        yield result


def _start(programs: Programs, name: str, dtype: str, batch: int) -> Program:
    return programs.start(
        PEER if name == PEER else OURS,
        name,
        dtype=dtype,
        batch=programs.fixed_batch(batch),
        check=programs.check(name),
        scan_layers=name == SCANNED,
    )


def _run_batches(programs, running, cases, rounds) -> None:
    fitting = list(running)
    for batch, case in cases.items():
        for program in fitting:
            program.ask(f"batch {programs.fixed_batch(batch)}")
        case["seconds"] |= timed(fitting, rounds)
        # What ran out of memory is not asked for more.
        fitting = [p for p in fitting if "out_of_memory" not in case["seconds"][p.name]]


def share(case: dict[str, Any], name: str, gflops: float) -> float:
    """Of the card's rate, counted on the operations that a step cannot do without."""
    return case["minimum_gflop"] / case["seconds"][name]["pass"] / gflops


def table(size: str, measured: dict[str, Any]) -> str:
    """The figures as lines of text."""
    best = max(measured["matmul_gflops"].values())
    about = ", ".join(f"{name} {value}" for name, value in measured["about"].items())
    lines = [f"T5 1.1 {size}, {measured['dtype']}, {about}; one product: {best / 1e3:.0f} TFLOP/s"]
    for name, start in measured["start"].items():
        lines.append(f"{name}: opened in {start['load']:.1f} s, first step {start['step']:.1f} s")
    for case in measured["cases"]:
        peer = case["seconds"].get(PEER, {}).get("pass")
        for name, found in case["seconds"].items():
            if "out_of_memory" in found:
                lines.append(f"batch {case['batch']}, {name}: out of memory")
                continue
            lines.append(
                f"batch {case['batch']}, {name}: {1e3 * found['pass']:.1f} ms "
                f"({1e3 * found['wait']:.1f} with a wait), {share(case, name, best):.0%} of the card, "
                f"peak {found['device_bytes'] / 1e9:.1f} GB"
                + (f", {peer / found['pass']:.2f}x PEFT" if peer else "")
            )
    return "\n".join(lines)
