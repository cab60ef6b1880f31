# SPDX-License-Identifier: Apache-2.0
"""Compares two T5X checkpoints, array by array.

  tools/bazel run //tools/checkpoints:diff_checkpoints -- /runs/a /runs/b/checkpoint_1000 \\
    --limit_to_params --output=/runs/diff.json

Values count as equal where numpy.isclose says so. Ends with 0 if all arrays that both checkpoints
hold are equal, else with 1. An array that only one of them holds is reported, and is no difference.
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import app, flags

from prompt_tuning.checkpoints import paths, t5x_format
from tools.checkpoints import command_line

FRAC = flags.DEFINE_float("frac", 1.0, "Fraction of the arrays to compare, above 0 and at most 1.")
OUTPUT = flags.DEFINE_string("output", None, "JSON file for the report.")
SEED = flags.DEFINE_integer("seed", None, "Seed for the choice of arrays when --frac is below 1.")
COMPARE_STEP = flags.DEFINE_boolean("compare_step", False, "Whether the steps must be equal, too.")
LIMIT_TO_PARAMS = flags.DEFINE_boolean("limit_to_params", False, "Leave out optimizer states.")
CHECK = flags.DEFINE_multi_string(
    "check",
    None,
    "Name of an array to compare in any case, such as target/encoder/...; repeatable.",
)
flags.register_validator("frac", lambda value: 0 < value <= 1, message="it must be in (0, 1]")

Leaves = Mapping[str, t5x_format.LazyArray]


def difference(a: t5x_format.LazyArray, b: t5x_format.LazyArray) -> dict[str, Any] | None:
    """How two arrays differ, or None if they do not; the keys are those of the report."""
    if a.shape != b.shape:
        return {"error_type": "shape", "a_shape": list(a.shape), "b_shape": list(b.shape)}
    left, right = a.get("float64"), b.get("float64")
    mismatch = int(np.sum(~np.isclose(left, right)))
    if not mismatch:
        return None
    return {
        "error_type": "value",
        "match": left.size - mismatch,
        "mismatch": mismatch,
        "percentage": f"{mismatch / left.size * 100:.3f}%",
        "max_error": float(np.max(np.abs(left - right))),
    }


def compare(a: Leaves, b: Leaves, names: Sequence[str]) -> tuple[dict[str, str], list[dict]]:
    """Verdict of each name, and the differences."""
    verdicts, errors = {}, []
    for name in names:
        found = difference(a[name], b[name])
        if found is None:
            verdicts[name] = "Matched!"
            continue
        errors.append(found)
        if found["error_type"] == "shape":
            verdicts[name] = f"Shape Mismatch: {found['a_shape']} vs. {found['b_shape']}"
        else:
            verdicts[name] = (
                f"Value Mismatch: {found['percentage']} mismatch, {found['max_error']:.4f} max."
            )
    return verdicts, errors


def chosen(names: set[str], fraction: float, always: Sequence[str], seed: int | None) -> list[str]:
    """The names to compare: a random `fraction`, and those in `always`.

    Raises:
      ValueError: one of `always` is in neither or in only one checkpoint.
    """
    unknown = sorted(set(always) - names)
    if unknown:
        raise ValueError(f"--check names {unknown[0]}, which the two checkpoints do not both hold.")
    drawn = random.Random(seed).sample(sorted(names), math.floor(len(names) * fraction))
    return sorted(set(drawn) | set(always))


def _leaves(path: str) -> dict[str, t5x_format.LazyArray]:
    leaves = t5x_format.open_checkpoint(path).leaves
    prefix = "target/" if LIMIT_TO_PARAMS.value else ""
    dropped = () if COMPARE_STEP.value else ("state/step",)
    return {k: v for k, v in leaves.items() if k.startswith(prefix) and k not in dropped}


def main(argv: Sequence[str]) -> int:
    """Compares, prints the differences, writes the report; 1 if there are any."""
    if len(argv) != 3:
        raise app.UsageError(f"two checkpoints are needed, {len(argv) - 1} were given.")
    a, b = _leaves(argv[1]), _leaves(argv[2])
    report: dict[str, Any] = {"ckpt_a": argv[1], "ckpt_b": argv[2]}
    if a.keys() != b.keys():
        only_a, only_b = sorted(a.keys() - b.keys()), sorted(b.keys() - a.keys())
        report["parameter_mismatch"] = {
            "present_in_a_not_in_b": only_a,
            "present_in_b_not_in_a": only_b,
        }
        for path, only in ((argv[1], only_a), (argv[2], only_b)):
            print("".join(f"only in {path}: {name}\n" for name in only), end="")
    names = chosen(a.keys() & b.keys(), FRAC.value, CHECK.value or (), SEED.value)
    report["check_frac"] = FRAC.value
    report["parameters"], report["errors"] = compare(a, b, names)
    for name, verdict in report["parameters"].items():
        if verdict != "Matched!":
            print(f"{name}: {verdict}")
    print(f"{len(names) - len(report['errors'])} of {len(names)} compared arrays are equal")
    if OUTPUT.value:
        paths.write_bytes(OUTPUT.value, json.dumps(report, indent=2).encode())
    return 1 if report["errors"] else 0


if __name__ == "__main__":
    command_line.run(main)
