# SPDX-License-Identifier: Apache-2.0
"""What decoding costs: many prompts in a batch against one, greedy against beams, ours and PEFT's.

  tools/bazel run -c opt //tests/benchmarks:decoding_benchmark -- --cores=1 \\
      --peer_python=$HOME/huggingface_peers/bin/python

Weights are random, so answers mean nothing; every program runs to the same fixed length. With a
peer both sides have the same weights, and nothing is timed unless their logits agree and, in
float32, their greedy and beam answers are the same tokens. `--dtype=bfloat16` has weights and
activations of both in bfloat16, where two logits that are nearly equal fall either way. The
programs take turns, so that a busy machine slows all of them alike; the table has medians of
CPU-seconds and of wall time. docs/serving.md explains. `--device=gpu` runs both sides on a GPU, in
float32 proper and not in TF32; the wall time counts there.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import rich.console
import rich.table
from absl import app, flags
from flax import traverse_util

from prompt_tuning.checkpoints import base_checkpoint, t5x_format
from prompt_tuning.inference import predictor, prompt_bank
from prompt_tuning.models import decoding, models, network
from prompt_tuning.prompts import combine, prompt, prompted_network

ROUNDS = flags.DEFINE_integer("rounds", 5, "Turns of each program.", lower_bound=1)
BATCH = flags.DEFINE_integer("batch", 16, "Rows of a batch.", lower_bound=1)
INPUTS = flags.DEFINE_integer("inputs_length", 64, "Tokens of each input.", lower_bound=1)
TARGETS = flags.DEFINE_integer("targets_length", 8, "Tokens that are decoded.", lower_bound=1)
PROMPT = flags.DEFINE_integer("prompt_length", 100, "Positions of each prompt.", lower_bound=1)
PROMPTS = flags.DEFINE_integer("prompts", 16, "Prompts in the mixed batch.", lower_bound=1)
SIZE = flags.DEFINE_enum("size", "small", ["tiny", "small", "base"], "Of T5 1.1, or a toy.")
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of both models.")
DEVICE = flags.DEFINE_enum("device", "cpu", ["cpu", "gpu"], "Where both run.")
CORES = flags.DEFINE_integer("cores", None, "Cores to run on; default: all.", lower_bound=1)
PEER = flags.DEFINE_string("peer_python", None, "Python that has PEFT, to compare with.")

_SMALL = {
    "vocab_size": 32128,
    "emb_dim": 512,
    "num_heads": 6,
    "head_dim": 64,
    "mlp_dim": 1024,
    "num_encoder_layers": 8,
    "num_decoder_layers": 8,
}
_SIZES = {
    "small": _SMALL,
    "tiny": {**_SMALL, "vocab_size": 64, "emb_dim": 16, "mlp_dim": 32, "num_encoder_layers": 1,
             "num_decoder_layers": 1},
    "base": {**_SMALL, "emb_dim": 768, "num_heads": 12, "mlp_dim": 2048, "num_encoder_layers": 12,
             "num_decoder_layers": 12},
}  # fmt: skip
_BASELINE = "one prompt"
_NO_TOKEN = -1  # Nothing ends a search before its length.
# Largest difference of logits, of their largest; rounding gives about 1e-5 and 1e-2.
_AGREEMENT = {"float32": 1e-4, "bfloat16": 8e-2}
_BEAMS = {"greedy": 1, "beam-4": 4}

Seconds = tuple[float, float]  # Of the processors, and of the clock.
Case = Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every program is to do.

    Attributes:
      sizes: Of the network, by `T5Config`'s names.
      tokens: int32 `[B, T]`, the inputs; none is padding.
      prompts: float32 `[N, P, H]`.
      targets_length: Tokens to decode.
    """

    sizes: dict[str, int]
    tokens: np.ndarray
    prompts: np.ndarray
    targets_length: int


class Numbers:
    """A vocabulary whose texts are token ids: what is measured is the model."""

    eos_id = _NO_TOKEN

    @property
    def tokenizer(self):
        return self

    def encode(self, s):
        return [int(number) for number in s.split()]

    def decode(self, ids):
        return " ".join(map(str, np.asarray(ids).tolist()))

    def encode_padded(self, texts, max_len, pad=0, eos=None):
        rows = [self.encode(text)[:max_len] for text in texts]
        return np.array([row + [pad] * (max_len - len(row)) for row in rows], np.int32)


def make_settings() -> Settings:
    """From the flags; always the same random numbers."""
    random = np.random.default_rng(0)
    sizes = _SIZES[SIZE.value]
    shape = (PROMPTS.value, PROMPT.value, sizes["emb_dim"])
    return Settings(
        sizes=sizes,
        tokens=random.integers(3, sizes["vocab_size"], (BATCH.value, INPUTS.value), np.int32),
        prompts=random.normal(size=shape).astype(np.float32),
        targets_length=TARGETS.value,
    )


def our_cases(settings: Settings, params: Mapping[str, Any] | None = None) -> dict[str, Case]:
    """Greedy and beam-4 decoding and label scores, with one prompt and with all of them.

    Args:
      settings: What to do.
      params: Of the model; None draws them.
    """
    config = network.T5Config(**settings.sizes, dtype=DTYPE.value)
    count, length, width = settings.prompts.shape
    bank = prompt_bank.PromptBank(width, length, count)
    for index, value in enumerate(settings.prompts):
        bank.add(str(index), value)
    texts = [Numbers().decode(row) for row in settings.tokens]
    rows = [predictor.Request(text, str(i % count)) for i, text in enumerate(texts)]
    searches = {
        "greedy": functools.partial(decoding.temperature_sample, temperature=0.0),
        "beam-4": decoding.beam_search,
    }
    cases = {}
    for name, search in searches.items():
        model = _make_model(config, length, search)
        params = _parameters(model) if params is None else params
        options = {
            "model": model,
            "params": params,
            "vocabulary": Numbers(),
            "inputs_length": settings.tokens.shape[1],
            "targets_length": settings.targets_length,
            "batch_size": len(texts),
            "add_inputs_eos": False,
            "num_decodes": _BEAMS[name],
        }
        one = predictor.Predictor(**options, prompt=settings.prompts[0])
        many = predictor.Predictor(**options, prompts=bank)
        cases[f"{name}, {_BASELINE}"] = functools.partial(one.predict, texts)
        cases[f"{name}, {count} prompts"] = functools.partial(many.predict, rows)
    labels = ["3", "4", "5 6"]
    cases[f"label scores, {_BASELINE}"] = functools.partial(one.score_labels, texts, labels)
    cases[f"label scores, {count} prompts"] = functools.partial(many.score_labels, rows, labels)
    return cases


def _make_model(config, length, search):
    def factory():
        return combine.Prompt(prompt.Prompt(length))

    module = prompted_network.PromptedTransformer(config, prompt_factory=factory)
    return models.EncoderDecoderModel(module, Numbers(), Numbers(), None, decode_fn=search)


def _parameters(model):
    shapes = {"encoder_input_tokens": (1, 8), "decoder_input_tokens": (1, 8)}
    return model.get_initial_variables(jax.random.key(0), shapes)["params"]


class Peer:
    """PEFT in a process of its own, see `decoding_peer`."""

    def __init__(self, python: str, folder: pathlib.Path, settings: Settings):
        """Starts it, and waits for the model that it makes in `folder`."""
        self._result = folder / "result.npy"
        self.model = folder / "model"
        arrays = folder / "arrays.npz"
        np.savez(arrays, tokens=settings.tokens, prompts=settings.prompts)
        sizes = settings.sizes
        request = {
            "folder": str(self.model),
            "arrays": str(arrays),
            "result": str(self._result),
            "targets_length": settings.targets_length,
            "dtype": DTYPE.value,
            "threads": len(os.sched_getaffinity(0)),
            "device": DEVICE.value,
            "sizes": {
                "vocab_size": sizes["vocab_size"],
                "d_model": sizes["emb_dim"],
                "d_kv": sizes["head_dim"],
                "d_ff": sizes["mlp_dim"],
                "num_heads": sizes["num_heads"],
                "num_layers": sizes["num_encoder_layers"],
                "num_decoder_layers": sizes["num_decoder_layers"],
            },
        }
        path = folder / "request.json"
        path.write_text(json.dumps(request), encoding="utf-8")
        script = pathlib.Path(__file__).with_name("decoding_peer.py")
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [python, str(script), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.versions = self._read()

    def _read(self) -> Any:
        for line in self._process.stdout:
            if line.startswith(("{", "[")):
                return json.loads(line)
        raise RuntimeError(f"the peer ended with code {self._process.wait()}; see above.")

    def ask(self, *command: Any) -> tuple[Seconds, np.ndarray]:
        """Sends one command; how long it took, and its result."""
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return tuple(self._read()), np.load(self._result)

    def cases(self, count: int) -> dict[str, Callable[[], Seconds]]:
        """The programs to time, which tell their own seconds."""
        made = {}
        for name, beams in _BEAMS.items():
            for method, what in (("one_prompt", _BASELINE), ("every_prompt", f"{count} prompts")):
                made[f"{name}, {what}, PEFT"] = functools.partial(self._seconds, method, beams)
        return made

    def _seconds(self, *command: Any) -> Seconds:
        return self.ask(*command)[0]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def started_peer(python: str, settings: Settings) -> Iterator[Peer]:
    """A peer, ended with the block."""
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(python, pathlib.Path(folder), settings)
        try:
            yield peer
        finally:
            peer.close()


def check_agreement(
    peer: Peer, settings: Settings, params: Mapping[str, Any], cases: Mapping[str, Case]
) -> float:
    """The largest difference of logits, as a share of the largest logit.

    Raises:
      ValueError: It is too large, or in float32 some answer has other tokens: then speed says
        nothing.
    """
    model = _make_model(network.T5Config(**settings.sizes, dtype=DTYPE.value), 1, None)
    start = np.zeros((len(settings.tokens), 1), np.int32)
    tree = traverse_util.unflatten_dict(dict(params), sep="/")
    ours = jax.jit(model.module.apply)(
        {"params": tree}, settings.tokens, start, start + 3, prompt=settings.prompts[0]
    )
    theirs = peer.ask("logits")[1]
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if not difference < _AGREEMENT[DTYPE.value]:
        raise ValueError(f"the logits differ by {difference:.1e} of the largest: nothing is timed.")
    if DTYPE.value != "float32":
        return difference
    for name, beams in _BEAMS.items():
        for method, what in (
            ("one_prompt", _BASELINE),
            ("every_prompt", f"{len(settings.prompts)} prompts"),
        ):
            found = [Numbers().encode(answer.text) for answer in cases[f"{name}, {what}"]()]
            expected = peer.ask(method, beams)[1]
            if not np.array_equal(found, expected):
                rows = int(np.sum(np.any(np.array(found) != expected, axis=1)))
                raise ValueError(
                    f"{rows} of {len(expected)} answers of {name}, {what} differ: nothing is timed."
                )
    return difference


def measure(cases: Mapping[str, Case], rounds: int) -> dict[str, Seconds]:
    """Median CPU-seconds and median seconds of wall time of each program once it is warm.

    A case may return its own seconds, of a process that is not this one.
    """
    seconds: dict[str, list[Seconds]] = {name: [] for name in cases}
    for case in cases.values():
        case()
    for _ in range(rounds):
        for name, case in cases.items():
            cpu, wall = time.process_time(), time.perf_counter()
            told = case()
            own = time.process_time() - cpu, time.perf_counter() - wall
            seconds[name].append(told if isinstance(told, tuple) else own)
    return {name: tuple(map(float, np.median(pairs, axis=0))) for name, pairs in seconds.items()}


def report(results: Mapping[str, Seconds]) -> list[rich.table.Table]:
    """The table of all programs, and with a peer that of the comparisons."""
    clock, of = (1, "wall s") if DEVICE.value == "gpu" else (0, "CPU-s")
    table = rich.table.Table("program", "CPU-s", "wall s", f"{of} against one prompt")
    for name, seconds in results.items():
        search, _, rest = name.partition(", ")
        peer = ", PEFT" if rest.endswith("PEFT") else ""
        ratio = seconds[clock] / results[f"{search}, {_BASELINE}{peer}"][clock]
        table.add_row(name, *(f"{one:.3f}" for one in seconds), f"{ratio:.3f}")
    ratios = rich.table.Table("PEFT's seconds over ours", "CPU-s", "wall s")
    for name in results:
        theirs = results.get(f"{name}, PEFT")
        if theirs:
            pair = (t / o for t, o in zip(theirs, results[name], strict=True))
            ratios.add_row(name, *(f"{ratio:.2f}" for ratio in pair))
    return [table, ratios] if ratios.row_count else [table]


def main(argv: Sequence[str]) -> None:
    """Prints the machine and the tables."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    if CORES.value:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: CORES.value])
    if DEVICE.value == "gpu":
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # The peer is on the same card.
    jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda"}[DEVICE.value])
    jax.config.update("jax_default_matmul_precision", "highest")
    settings = make_settings()
    console = rich.console.Console(width=100)
    console.print(
        f"{jax.devices()[0].device_kind}, {platform.machine()}, {len(os.sched_getaffinity(0))} "
        f"cores, jax {jax.__version__}; T5 {SIZE.value} in {DTYPE.value}, batch {BATCH.value}, "
        f"{INPUTS.value} + {PROMPT.value} positions, {TARGETS.value} decoded, medians of "
        f"{ROUNDS.value}"
    )
    with contextlib.ExitStack() as stack:
        cases: dict[str, Case] = {}
        if PEER.value:
            peer = stack.enter_context(started_peer(PEER.value, settings))
            leaves = base_checkpoint.open_base(peer.model).target()
            params = t5x_format.read_arrays(leaves, DTYPE.value)
            cases = our_cases(settings, params)
            difference = check_agreement(peer, settings, params, cases)
            exact = DTYPE.value == "float32"
            console.print(
                ", ".join(f"{name} {version}" for name, version in peer.versions.items())
                + f"; same weights: logits differ by {difference:.1e} of the largest"
                + (", all tokens of greedy and beam-4 answers are equal" if exact else "")
            )
            cases |= peer.cases(len(settings.prompts))
        else:
            cases = our_cases(settings)
        for table in report(measure(cases, ROUNDS.value)):
            console.print(table)


if __name__ == "__main__":
    app.run(main)
