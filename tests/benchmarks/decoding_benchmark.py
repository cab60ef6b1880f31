# SPDX-License-Identifier: Apache-2.0
"""What decoding costs: many prompts in a batch against one, greedy against beams, ours and others'.

  tools/bazel run -c opt //tests/benchmarks:decoding_benchmark -- --rounds=5

Weights are random, so answers mean nothing; every program runs to the same fixed length. The
programs take turns, so that a busy machine slows all of them alike; the table has the fewest
CPU-seconds of each, with those of wall time beside them. `--peer=some.module` adds the programs of
`some.module.cases(settings) -> {name: function}`, in the same process and turns; a name that
begins like one of ours (`greedy, ...`) is compared with it.
"""

import dataclasses
import functools
import importlib
import os
import platform
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
import rich.console
import rich.table
from absl import app, flags

from prompt_tuning.inference import predictor, prompt_bank
from prompt_tuning.models import decoding, models, network
from prompt_tuning.prompts import combine, prompt, prompted_network

ROUNDS = flags.DEFINE_integer("rounds", 5, "Turns of each program.", lower_bound=1)
BATCH = flags.DEFINE_integer("batch", 16, "Rows of a batch.", lower_bound=1)
INPUTS = flags.DEFINE_integer("inputs_length", 64, "Tokens of each input.", lower_bound=1)
TARGETS = flags.DEFINE_integer("targets_length", 8, "Tokens that are decoded.", lower_bound=1)
PROMPT = flags.DEFINE_integer("prompt_length", 100, "Positions of each prompt.", lower_bound=1)
PROMPTS = flags.DEFINE_integer("prompts", 16, "Prompts in the mixed batch.", lower_bound=1)
SIZE = flags.DEFINE_enum("size", "small", ["tiny", "small"], "T5 1.1 small, or a toy.")
PEER = flags.DEFINE_string("peer", None, "Module with more programs to compare with.")

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
}  # fmt: skip
_BASELINE = "one prompt"
_NO_TOKEN = -1  # Nothing ends a search before its length.

Case = Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every program is to do; a peer's `cases` gets it.

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


def our_cases(settings: Settings) -> dict[str, Case]:
    """Greedy and beam-4 decoding and label scores, with one prompt and with all of them."""
    config = network.T5Config(**settings.sizes, dtype="float32")
    count, length, width = settings.prompts.shape
    bank = prompt_bank.PromptBank(width, length, count)
    for index, value in enumerate(settings.prompts):
        bank.add(str(index), value)
    texts = [Numbers().decode(row) for row in settings.tokens]
    rows = [predictor.Request(text, str(i % count)) for i, text in enumerate(texts)]
    searches = {
        "greedy": (functools.partial(decoding.temperature_sample, temperature=0.0), 1),
        "beam-4": (decoding.beam_search, 4),
    }
    params, cases = None, {}
    for name, (search, beams) in searches.items():
        model = _make_model(config, length, search)
        if params is None:
            params = _parameters(model)
        options = {
            "model": model,
            "params": params,
            "vocabulary": Numbers(),
            "inputs_length": settings.tokens.shape[1],
            "targets_length": settings.targets_length,
            "batch_size": len(texts),
            "add_inputs_eos": False,
            "num_decodes": beams,
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


def measure(cases: dict[str, Case], rounds: int) -> dict[str, tuple[float, float]]:
    """Fewest CPU-seconds, and fewest seconds of wall time, of each program once it is warm."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for case in cases.values():
        case()
    for _ in range(rounds):
        for name, case in cases.items():
            cpu, wall = time.process_time(), time.perf_counter()
            case()
            seconds[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: tuple(map(min, zip(*pairs, strict=True))) for name, pairs in seconds.items()}


def main(argv: Sequence[str]) -> None:
    """Prints the machine and one table."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    settings = make_settings()
    cases = our_cases(settings)
    if PEER.value:
        cases.update(importlib.import_module(PEER.value).cases(settings))
    results = measure(cases, ROUNDS.value)
    console = rich.console.Console()
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, jax {jax.__version__}; T5 {SIZE.value}, "
        f"batch {BATCH.value}, {INPUTS.value} + {PROMPT.value} positions, {TARGETS.value} decoded"
    )
    table = rich.table.Table("program", "CPU-s", "wall s", "CPU-s against one prompt")
    for name, (cpu, wall) in results.items():
        baseline = results.get(f"{name.partition(',')[0]}, {_BASELINE}", (None,))[0]
        ratio = f"{cpu / baseline:.3f}" if baseline else ""
        table.add_row(name, f"{cpu:.3f}", f"{wall:.3f}", ratio)
    console.print(table)


if __name__ == "__main__":
    app.run(main)
