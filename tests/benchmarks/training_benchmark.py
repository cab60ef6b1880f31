# SPDX-License-Identifier: Apache-2.0
"""Training a prompt here and with PEFT: speed, memory and start-up, on the same weights and batches.

  tools/bazel run -c opt //tests/benchmarks:training_benchmark -- \
      --peer_python=$HOME/huggingface_peers/bin/python --cores=1 --output=docs/training_speed

Each program is a process of its own (`training_worker`, `training_peer`). They take turns, one pass
over the batch at a time, so that a busy machine slows both alike. Before anything is timed their
logits and the gradients of the prompt must agree. The table has medians of CPU-seconds; `--output`
also writes `FILE.json`, which `training_report` makes a page of. With `--device=gpu` the clock
counts and not the CPU's seconds, and `gpu_cases` says what is done. docs/training_speed.md explains.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sentencepiece
from absl import app, flags

from prompt_tuning.bundled import bundled
from tests.benchmarks import gpu_cases, training_cases

PEER = flags.DEFINE_string("peer_python", None, "Python that has PEFT.")
SIZE = flags.DEFINE_enum("size", "small", sorted(training_cases.SIZES), "Of T5 1.1.")
DTYPES = flags.DEFINE_list("dtypes", ["float32", "bfloat16"], "Of activations.")
BATCHES = flags.DEFINE_list("batches", ["8", "32"], "Sizes of the fixed batches.")
INPUTS = flags.DEFINE_integer("inputs_length", 128, "Tokens of a fixed input.", lower_bound=1)
TARGETS = flags.DEFINE_integer("targets_length", 8, "Tokens of a fixed target.", lower_bound=1)
PROMPT = flags.DEFINE_integer("prompt_length", 100, "Positions of the prompt.", lower_bound=1)
TEXTS = flags.DEFINE_integer("texts", 128, "Texts of SST-2's lengths; 0 for none.", lower_bound=0)
FULL_WIDTH = flags.DEFINE_bool("full_width", True, "Texts padded to 512 positions, too.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Passes of each program.", lower_bound=1)
CORES = flags.DEFINE_list("cores", None, "Numbers of the cores to use; default: all.")
DEVICE = flags.DEFINE_enum("device", "cpu", ["cpu", "gpu"], "Where both run.")
TOGETHER = flags.DEFINE_bool("together", True, "Both on the GPU at a time, where they fit.")
SCAN = flags.DEFINE_bool("scan_layers", False, "On a GPU: ours also as a loop over the layers.")
CHECKPOINTING = flags.DEFINE_bool("checkpointing", False, "Both compute activations anew.")
OUTPUT = flags.DEFINE_string("output", None, "Where to write FILE.json.")

_PATIENCE = 3000
# Largest difference relative to the largest value. Rounding alone gives 1e-5 and 1e-2.
_AGREEMENT = {"float32": 1e-4, "bfloat16": 8e-2}


@dataclasses.dataclass
class Program:
    """One process that trains, and what it said of its start."""

    name: str
    process: subprocess.Popen
    first_step: dict[str, float]

    def ask(self, command: str) -> dict[str, Any]:
        """Sends one command and waits for its answer."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return _read(self.process, self.name)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(_PATIENCE)


def _read(process: subprocess.Popen, name: str) -> dict[str, Any]:
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise RuntimeError(f"{name} ended with code {process.wait()}; its messages are above.")


class Programs:
    """Starts programs that share a folder, a model and the files of one comparison."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.sizes = training_cases.SIZES[SIZE.value]
        self.cache = folder / "compiled"
        self.model = folder / "model"
        self.count = 0
        # A model that only runs in bfloat16 is made and read in half of the time.
        request = {
            "mode": "make_model",
            "sizes": self.sizes,
            "folder": str(self.model),
            "device": DEVICE.value,
            "dtype": "float32" if "float32" in DTYPES.value else "bfloat16",
        }
        subprocess.run(self._command("peer", request), check=True, env=self._environment("peer"))
        prompt = np.random.default_rng(2).normal(size=(PROMPT.value, self.sizes["d_model"]))
        np.save(folder / "prompt.npy", prompt.astype(np.float32))

    def _command(self, side: str, request: dict[str, Any]) -> list[str]:
        self.count += 1
        path = self.folder / f"request_{self.count}.json"
        path.write_text(json.dumps(request), encoding="utf-8")
        here = pathlib.Path(__file__).parent
        if side == "peer":
            return [PEER.value, str(here / "training_peer.py"), str(path)]
        return [sys.executable, str(here / "training_process.py"), str(path)]

    def _environment(self, side: str, kernels: bool = True) -> dict[str, str]:
        threads = str(len(os.sched_getaffinity(0)))
        environment = os.environ | {
            "OMP_NUM_THREADS": threads,
            "JAX_COMPILATION_CACHE_DIR": str(self.cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PLATFORMS": {"cpu": "cpu", "gpu": "cuda"}[DEVICE.value],
            # Both share a card, and what is in use is to be seen.
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        if side == "peer":
            del environment["PYTHONPATH"]
        if not kernels:
            environment["PROMPT_TUNING_ONEDNN"] = "0"
        return environment

    def start(self, side: str, name: str, kernels: bool = True, **request: Any) -> Program:
        """Starts a program, ours without `kernels` on XLA's own, and waits for its first step."""
        request = {
            "mode": "serve",
            "folder": str(self.model),
            "prompt": str(self.folder / "prompt.npy"),
            "threads": len(os.sched_getaffinity(0)),
            "device": DEVICE.value,
            "checkpointing": CHECKPOINTING.value,
        } | request
        process = subprocess.Popen(
            self._command(side, request),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment(side, kernels),
        )
        return Program(name, process, _read(process, name))

    def check(self, name: str) -> dict[str, str]:
        """What a request has under "check", for `differences` to find."""
        path = self.folder / "small_batch.npz"
        arrays = training_cases.fixed_batch(2, 40, TARGETS.value, self.sizes["vocab_size"])
        arrays["encoder_input_tokens"][1, 25:] = 0
        np.savez(path, **arrays)
        return {"batch": str(path), "result": self._checked(name)}

    def _checked(self, name: str) -> str:
        return str(self.folder / f"check_{name}.npz")

    def differences(self, dtype: str, ours: str = "ours") -> dict[str, float]:
        """Relative differences of logits and of the prompt's gradient on one small batch.

        Raises:
          ValueError: they are too large for a comparison of speed to mean anything.
        """
        found = []
        for name in (ours, "peer"):
            with np.load(self._checked(name)) as file:
                found.append(dict(file))
        differences = {}
        for name in ("logits", "gradient"):
            got, wanted = (result[name] for result in found)
            difference = float(np.abs(got - wanted).max() / np.abs(wanted).max())
            differences[name] = difference
            if not difference < _AGREEMENT[dtype]:
                raise ValueError(
                    f"the {name} of the two programs differ by {difference:.1e} of the largest in "
                    f"{dtype}; below {_AGREEMENT[dtype]:.0e} is rounding. They do not do the same "
                    "work, so nothing is timed."
                )
        return differences

    def compare(self, dtype: str) -> dict[str, float]:
        """`differences`, of processes that do nothing else."""
        for side in ("ours", "peer"):
            self.start(side, side, dtype=dtype, check=self.check(side)).close()
        return self.differences(dtype)

    def fixed_batch(self, batch: int) -> str:
        """The file of a batch without padding."""
        path = self.folder / f"batch_{batch}.npz"
        shape = batch, INPUTS.value, TARGETS.value
        np.savez(path, **training_cases.fixed_batch(*shape, self.sizes["vocab_size"]))
        return str(path)

    def minimum_gflop(self, batch: int) -> float:
        """What one step on that batch cannot do without."""
        positions = INPUTS.value + PROMPT.value
        return 1e-9 * training_cases.minimum_flops(self.sizes, batch, positions, TARGETS.value)


@contextlib.contextmanager
def _running(programs: Iterator[Program]) -> Iterator[list[Program]]:
    running = list(programs)
    try:
        yield running
    finally:
        for program in running:
            program.close()


def in_turns(programs: Sequence[Program], rounds: int) -> dict[str, dict[str, float]]:
    """Medians of CPU-seconds and wall seconds of one pass of each."""
    passes: dict[str, list[dict[str, float]]] = {program.name: [] for program in programs}
    for program in programs:
        program.ask("pass")  # Compiles, and fills caches.
    for _ in range(rounds):
        for program in programs:
            passes[program.name].append(program.ask("pass"))
    return {
        name: {key: float(np.median([one[key] for one in found])) for key in ("cpu", "wall")}
        for name, found in passes.items()
    }


def fixed_case(programs: Programs, batch: int, dtype: str) -> dict[str, Any]:
    """One batch without padding, again and again; a new process each, which also starts cold."""
    request = {"batch": programs.fixed_batch(batch), "dtype": dtype}
    with _running(programs.start(side, side, **request) for side in ("ours", "peer")) as running:
        starts = {program.name: program.first_step["cpu"] for program in running}
        seconds = in_turns(running, ROUNDS.value)
        peaks = {program.name: program.ask("peak") for program in running}
        rates = {program.name: program.ask("matmul")["gflops"] for program in running}
    with _running(iter([programs.start("ours", "warm", **request)])) as running:
        starts["ours, compiled before"] = running[0].first_step["cpu"]
    return {
        "batch": batch,
        "dtype": dtype,
        "first_step_cpu": starts,
        "peak": peaks,
        "seconds": seconds,
        "minimum_gflop": programs.minimum_gflop(batch),
        "matmul_gflops": rates,
    }


def text_case(programs: Programs, dtype: str) -> dict[str, Any]:
    """One epoch of texts from file to updates: ours by length, PEFT's padding, and 512 wide.

    The last is upstream's practice, once on this project's kernels and once, as upstream would run
    on this processor, on XLA's.
    """
    path = programs.folder / "texts.tsv"
    training_cases.write_rows(path, training_cases.text_rows(TEXTS.value))
    processor = sentencepiece.SentencePieceProcessor(model_file=bundled.vocabulary_path())
    pieces = [
        (processor.id_to_piece(index), processor.get_score(index))
        for index in range(processor.vocab_size())
    ]
    request = {
        "texts": str(path),
        "dtype": dtype,
        "batch_size": min(32, TEXTS.value),
        "vocabulary": bundled.vocabulary_path(),
        "pieces": pieces,
    }
    sides: list[tuple[str, dict[str, Any]]] = [("ours", {}), ("peer", {})]
    if FULL_WIDTH.value:
        sides += [
            ("512 wide", {"full_width": 512}),
            ("512 wide, XLA", {"full_width": 512, "kernels": False}),
        ]
    with _running(
        programs.start("peer" if name == "peer" else "ours", name, **request | extra)
        for name, extra in sides
    ) as running:
        seconds = in_turns(running, ROUNDS.value)
    return {"dtype": dtype, "texts": TEXTS.value, "seconds": seconds}


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    features = next((line for line in lines if line.startswith("flags")), "").split()
    return {
        "processor": model or platform.machine(),
        "bf16_units": sorted({"avx512_bf16", "amx_bf16"} & set(features)),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
    }


def table(results: dict[str, Any]) -> str:
    """The figures as lines of text, ratios first."""
    lines = [f"T5 1.1 {results['size']}, {results['machine']['processor']}"]
    for case in results["fixed"]:
        ours, peer = case["seconds"]["ours"], case["seconds"]["peer"]
        best = max(case["matmul_gflops"].values())
        lines.append(
            f"{case['dtype']} batch {case['batch']}: {peer['cpu'] / ours['cpu']:.2f}x PEFT "
            f"(CPU-s {ours['cpu']:.3f} against {peer['cpu']:.3f}; wall "
            f"{peer['wall'] / ours['wall']:.2f}x); "
            f"{case['minimum_gflop'] / ours['cpu'] / best:.0%} of the best matmul rate, PEFT "
            f"{case['minimum_gflop'] / peer['cpu'] / best:.0%}; peak "
            f"{case['peak']['ours']['bytes'] / case['peak']['peer']['bytes']:.2f} of PEFT's; "
            f"to the first step {case['first_step_cpu']['ours'] / case['first_step_cpu']['peer']:.2f}"
            f" of PEFT's CPU-s cold, "
            f"{case['first_step_cpu']['ours, compiled before'] / case['first_step_cpu']['peer']:.2f}"
            " warm"
        )
    for case in results["texts"]:
        seconds = {name: of["cpu"] for name, of in case["seconds"].items()}
        ours = seconds["ours"]
        line = f"{case['dtype']} texts: {seconds['peer'] / ours:.2f}x PEFT ({ours:.2f} CPU-s)"
        if "512 wide" in seconds:
            line += (
                f", {seconds['512 wide, XLA'] / ours:.2f}x padding to 512 on XLA's kernels, "
                f"{seconds['512 wide'] / ours:.2f}x on ours"
            )
        lines.append(line)
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Runs every case and prints the table."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    if not PEER.value:
        raise app.UsageError(
            "--peer_python is not set; give the Python of an environment with PEFT."
        )
    if CORES.value:
        os.sched_setaffinity(0, {int(core) for core in CORES.value})
    measure = {"cpu": on_cpu, "gpu": on_gpu}[DEVICE.value]
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Programs(pathlib.Path(folder)))
    write(results)


def write(results: dict[str, Any]) -> None:
    """The figures as JSON, if a file is asked for."""
    if OUTPUT.value:
        path = pathlib.Path(OUTPUT.value + ".json")
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)


def on_cpu(programs: Programs) -> dict[str, Any]:
    """Fixed batches and texts, by the CPU's seconds."""
    results: dict[str, Any] = {
        "size": SIZE.value,
        "machine": machine(),
        "differences": {},
        "fixed": [],
        "texts": [],
    }
    for dtype in DTYPES.value:
        results["differences"][dtype] = programs.compare(dtype)
        for batch in BATCHES.value:
            results["fixed"].append(fixed_case(programs, int(batch), dtype))
            print(table(results).splitlines()[-1], flush=True)
        if TEXTS.value:
            results["texts"].append(text_case(programs, dtype))
    print(table(results))
    return results


def on_gpu(programs: Programs) -> dict[str, Any]:
    """Fixed batches, by the clock."""
    results: dict[str, Any] = {"size": SIZE.value, "checkpointing": CHECKPOINTING.value, "gpu": []}
    for dtype in DTYPES.value:
        results["gpu"].append({})
        for measured in gpu_cases.measure(
            programs,
            dtype,
            [int(batch) for batch in BATCHES.value],
            ROUNDS.value,
            together=TOGETHER.value,
            scanned=SCAN.value,
        ):
            results["gpu"][-1] = measured
            print(gpu_cases.table(SIZE.value, measured), flush=True)
            write(results)
    return results


if __name__ == "__main__":
    app.run(main)
