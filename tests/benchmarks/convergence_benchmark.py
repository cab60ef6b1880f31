# SPDX-License-Identifier: Apache-2.0
"""Time to an accuracy on the bundled task: our settings and PEFT's, each from a sweep of one size.

  tools/bazel run -c opt //tests/benchmarks:convergence_benchmark -- \
      --peer_python=$HOME/huggingface_peers/bin/python --output=docs/convergence.json

Both tune a prompt of one length for the bundled frozen model on the same examples as tokens, and
are measured every few steps on opinion words that training never shows. The time is CPU-seconds of
the steps alone, without start-up, compilation and evaluation. docs/training_speed.md explains.
"""

import itertools
import json
import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import app, flags
from flax import traverse_util

from prompt_tuning.bundled import bundled, lexicon, world
from prompt_tuning.bundled.pretraining import encoded_text, objectives, probes, tiny_model, tuning
from prompt_tuning.checkpoints import huggingface_format, t5x_format
from prompt_tuning.prompts import initializers
from prompt_tuning.training import adafactor, optimizers, schedules, trainer

PEER = flags.DEFINE_string("peer_python", None, "Python that has PEFT; without it ours alone.")
OUTPUT = flags.DEFINE_string("output", None, "JSON file of every curve.")
STEPS = flags.DEFINE_integer("steps", 150, "Steps after which a setting has failed.", lower_bound=1)
PERIOD = flags.DEFINE_integer("period", 5, "Steps between two measurements.", lower_bound=1)
GOAL = flags.DEFINE_float("goal", 0.9, "Accuracy to reach.")
EXAMPLES = flags.DEFINE_integer("examples", 400, "Held-out examples.", lower_bound=2)
SWEEP = flags.DEFINE_enum("sweep", "full", ["full", "smoke"], "Every setting, or one of each side.")

_LENGTH = 20
_INITIALIZERS = ("sampled", "random")
_BATCHES = (8, 32)
# As many for each side; Adafactor's and AdamW's steps are not of one size.
_OUR_RATES = (0.03, 0.1, 0.3, 1.0)
_THEIR_RATES = (1e-3, 1e-2, 0.1, 0.5)
# transformers.TrainingArguments and peft.PromptTuningConfig as they are.
THEIR_DEFAULT = {
    "learning_rate": 5e-5,
    "initializer": "random",
    "batch_size": 8,
    "schedule": "linear",
}
OUR_DEFAULT = {
    "learning_rate": 0.3,
    "initializer": "sampled",
    "batch_size": 32,
    "schedule": "constant",
}


def settings(rates: Sequence[float]) -> list[dict[str, Any]]:
    """The grid of one side."""
    return [
        {"learning_rate": rate, "initializer": init, "batch_size": batch, "schedule": "constant"}
        for rate, init, batch in itertools.product(rates, _INITIALIZERS, _BATCHES)
    ]


def make_data(examples: int) -> dict[str, np.ndarray]:
    """Tokens of the train split, and of the test split's words."""
    train = world.classification_examples("train", 4000)
    held_out = encoded_text.classification("test", examples)
    return {
        "inputs": objectives.pad(
            encoded_text.encode([text for text, _ in train]), objectives.Lengths().inputs
        ),
        "labels": np.array([lexicon.LABELS.index(label) for _, label in train]),
        "label_tokens": encoded_text.label_tokens(),
        "eval_inputs": held_out.inputs,
        "eval_labels": held_out.labels,
    }


class OurSweep:
    """The bundled model, compiled once for each batch shape, tuned with one setting after another."""

    def __init__(self, data: dict[str, np.ndarray]):
        self.data = data
        self.params = tiny_model.checkpoint_params(bundled.checkpoint_path())
        self.table = self.params["token_embedder/embedding"]
        self.module = tuning.prompted_module(self.table, _LENGTH)
        self.model = tiny_model.encoder_decoder(self.module)
        self.examples = encoded_text.LabelledTokens(data["eval_inputs"], data["eval_labels"])

    def prompt(self, initializer: str) -> np.ndarray:
        """The first values, float32 [P, H]."""
        init = {
            "sampled": initializers.from_sample_of_embeddings(self.table),
            "random": initializers.uniform(0.5),
        }[initializer]
        return np.asarray(init(jax.random.key(0), (_LENGTH, self.table.shape[1])), np.float32)

    def batch(self, generator: np.random.Generator, size: int) -> objectives.Batch:
        """Examples drawn as the peer draws them."""
        rows = generator.choice(len(self.data["inputs"]), size, replace=False)
        inputs = [row[row > 0] for row in self.data["inputs"][rows]]
        targets = self.data["label_tokens"][self.data["labels"][rows]]
        return objectives.to_batch(
            list(zip(inputs, targets, strict=True)), objectives.Lengths(targets=4)
        )

    def run(self, setting: dict[str, Any]) -> dict[str, Any]:
        """Trains until the goal or the last step; seconds are those of the steps alone."""
        optimizer = optimizers.MultiOptimizer(
            [
                (
                    optimizers.ModelParamTraversal(optimizers.match_any([".*/prompt/.*"])),
                    adafactor.Adafactor(multiply_by_parameter_scale=False, weight_decay_rate=1e-5),
                )
            ]
        )
        job = trainer.Trainer(
            self.model,
            optimizer,
            schedules.create_learning_rate_scheduler("constant", setting["learning_rate"]),
            rng=jax.random.key(0),
        )
        start = {**self.params, tuning.PROMPT_NAME: self.prompt(setting["initializer"])}
        state, frozen = job.init_state(start)
        # Compiles with a state of its own: a step donates what it is given.
        spare, _ = job.init_state(start)
        job.train_step(spare, frozen, self.batch(np.random.default_rng(1), setting["batch_size"]))
        generator = np.random.default_rng(0)
        seconds, curve = 0.0, [(0, 0.0, self.accuracy(state.params, frozen))]
        for step in range(1, STEPS.value + 1):
            began = time.process_time()
            batch = self.batch(generator, setting["batch_size"])
            state, metrics = job.train_step(state, frozen, batch)
            jax.block_until_ready(metrics)
            seconds += time.process_time() - began
            if step % PERIOD.value == 0:
                reached = self.accuracy(state.params, frozen)
                curve.append((step, seconds, reached))
                if reached >= GOAL.value:
                    break
        return setting | {"curve": curve}

    def accuracy(self, params, frozen) -> float:
        """Of the held-out examples."""
        nested = traverse_util.unflatten_dict({**frozen, **params}, sep="/")
        return probes.first_token_scores(self.module, nested, self.examples).accuracy


def their_runs(
    folder: pathlib.Path, sweep: OurSweep, chosen: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The same with PEFT, in its own process."""
    target = t5x_format.open_checkpoint(bundled.checkpoint_path()).target()
    huggingface_format.write_checkpoint(str(folder / "model"), target, save_dtype="float32")
    np.save(folder / "prompt.npy", sweep.prompt("sampled"))
    np.savez(folder / "data.npz", **sweep.data)
    request = {
        "folder": str(folder / "model"),
        "sampled_prompt": str(folder / "prompt.npy"),
        "data": str(folder / "data.npz"),
        "length": _LENGTH,
        "steps": STEPS.value,
        "period": PERIOD.value,
        "goal": GOAL.value,
        "settings": list(chosen),
    }
    path = folder / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    script = pathlib.Path(__file__).with_name("convergence_peer.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [PEER.value, str(script), str(path)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def seconds_to_goal(run: dict[str, Any], goal: float) -> float | None:
    """CPU-seconds of the steps until the goal; None if it was not reached."""
    return next((seconds for _, seconds, reached in run["curve"] if reached >= goal), None)


def describe(run: dict[str, Any], goal: float) -> str:
    """One line of the table."""
    steps, seconds, reached = run["curve"][-1]
    end = f"{steps} steps, {seconds:.1f} CPU-s"
    if reached < goal:
        end = f"not in {end}: {reached:.3f}"
    return (
        f"learning rate {run['learning_rate']:g}, {run['initializer']}, "
        f"batch {run['batch_size']}, {run['schedule']}: {end}"
    )


def best(runs: Sequence[dict[str, Any]], goal: float) -> dict[str, Any] | None:
    """The run that reached the goal soonest."""
    reached = [run for run in runs if seconds_to_goal(run, goal) is not None]
    return min(reached, key=lambda run: seconds_to_goal(run, goal), default=None)


def main(argv: Sequence[str]) -> None:
    """Prints both sweeps, defaults first."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    grid = SWEEP.value == "full"
    sweep = OurSweep(make_data(EXAMPLES.value))
    results = {}
    results["ours"] = [
        sweep.run(setting) for setting in [OUR_DEFAULT, *(settings(_OUR_RATES) if grid else ())]
    ]
    if PEER.value:
        with tempfile.TemporaryDirectory() as folder:
            chosen = [THEIR_DEFAULT, *(settings(_THEIR_RATES) if grid else ())]
            results["PEFT"] = their_runs(pathlib.Path(folder), sweep, chosen)
    for side, runs in results.items():
        print(f"{side}, to accuracy {GOAL.value}")
        print("  default:", describe(runs[0], GOAL.value))
        for run in runs[1:]:
            print("  ", describe(run, GOAL.value))
        fastest = best(runs, GOAL.value)
        print("  best:", describe(fastest, GOAL.value) if fastest else "none")
    if OUTPUT.value:
        path = pathlib.Path(OUTPUT.value)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(results) + "\n", encoding="utf-8")
        temporary.replace(path)


if __name__ == "__main__":
    app.run(main)
