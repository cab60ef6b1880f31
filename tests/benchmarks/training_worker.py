# SPDX-License-Identifier: Apache-2.0
"""One process of training_benchmark that trains with this project's parts.

  training_worker REQUEST.json

Like `training_peer` it opens a HuggingFace folder, runs a first step, prints a line of JSON with
the CPU-seconds since the process began, and then answers commands, one a line:

  pass          every batch once: {"cpu", "wall"}
  peak          largest resident size so far: {"bytes"}
  matmul        what this process reaches in one large product: {"gflops"}

With `check` in the request it writes logits and the prompt's gradient there instead, as npz.
"""

import functools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from absl import app
from flax import traverse_util

from prompt_tuning.checkpoints import base_checkpoint, t5x_format
from prompt_tuning.models import models, network
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.runs import compilation_cache
from prompt_tuning.training import adafactor, optimizers, subset, trainer

_PROMPT = "encoder/prompt/prompt/prompt"
_MATMUL_SIZE = 2048


def peak_bytes() -> int:
    """The process's largest resident size, by the kernel."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def matmul_rate(dtype: str) -> float:
    """GFLOP per CPU-second of a square product."""
    x = jax.random.normal(jax.random.key(0), (_MATMUL_SIZE, _MATMUL_SIZE)).astype(dtype)
    product = jax.jit(jax.numpy.dot)
    product(x, x).block_until_ready()
    seconds = []
    for _ in range(5):
        began = time.process_time()
        product(x, x).block_until_ready()
        seconds.append(time.process_time() - began)
    return 2e-9 * _MATMUL_SIZE**3 / float(np.median(seconds))


def open_model(request: dict[str, Any]) -> tuple[models.EncoderDecoderModel, dict[str, np.ndarray]]:
    """The model of the request's folder, and all its parameters with the request's prompt."""
    checkpoint = base_checkpoint.open_base(request["folder"])
    params = dict(t5x_format.read_arrays(checkpoint.target(), request["dtype"]))
    params[_PROMPT] = np.load(request["prompt"])
    length = len(params[_PROMPT])
    module = prompted_network.PromptedTransformer(
        network.T5Config(**checkpoint.config.t5_config_fields(), dtype=request["dtype"]),
        prompt_factory=functools.partial(_make_prompt, length),
    )
    traversal = optimizers.ModelParamTraversal(subset.MatchAny((".*/prompt",)))
    optimizer = optimizers.MultiOptimizer([(traversal, adafactor.Adafactor())])
    return models.EncoderDecoderModel(module, None, None, optimizer), params


def _make_prompt(length: int) -> combine.Prompt:
    return combine.Prompt(prompt.Prompt(length))


def text_batches(request: dict[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    """One epoch of the texts, tokenised here, in length buckets or at full width."""
    from data_ops import vocabulary
    from prompt_tuning.data import file_task, pipeline, tasks
    from prompt_tuning.runs import training_stages

    tasks.register_file_task(
        {"train": request["texts"]},
        file_task.RowFormat(text_columns=(0,), label_column=1, format="tsv"),
        vocabulary.SentencePieceVocabulary(request["vocabulary"]),
    )
    full_width = request.get("full_width")
    return pipeline.BatchIterator(
        tasks.FILE_TASK,
        {"inputs": full_width or 512, "targets": 8},
        "train",
        request["batch_size"],
        seed=0,
        num_epochs=1,
        length_buckets=None if full_width else training_stages.LENGTH_BUCKETS,
    )


class Trained:
    """A frozen model with a prompt, and its training state."""

    def __init__(self, request: dict[str, Any]):
        self.model, params = open_model(request)
        self.trainer = trainer.Trainer(
            self.model, self.model.optimizer_def, lambda step: 0.3, rng=jax.random.key(0)
        )
        self.state, self.frozen = self.trainer.init_state(params)

    def step(self, batch: dict[str, np.ndarray]) -> float:
        """One update; the loss."""
        self.state, metrics = self.trainer.train_step(self.state, self.frozen, batch)
        return float(metrics["loss"])  # Waits for the device.

    def check(self, batch: dict[str, np.ndarray], path: str) -> None:
        """Writes logits and the gradient of the mean loss of a target token."""

        def loss(params, frozen):
            nested = traverse_util.unflatten_dict(subset.merge(params, frozen), sep="/")
            total, metrics = self.model.loss_fn(nested, batch)
            logits = self.model._compute_logits(nested, batch, None, {})
            return total / metrics["weight_sum"], logits

        gradient = jax.jit(jax.grad(loss, has_aux=True))
        grads, logits = gradient(self.state.params, self.frozen)
        np.savez(path, logits=np.asarray(logits, np.float32), gradient=np.asarray(grads[_PROMPT]))


def serve(request: dict[str, Any]) -> None:
    """Runs the first step, then one command a line."""
    compilation_cache.enable()
    trained = Trained(request)

    def batches():
        if "texts" in request:
            return text_batches(request)
        with np.load(request["batch"]) as file:
            return [dict(file)]

    if "check" in request:
        trained.check(batches()[0], request["check"])
        _answer()
        return
    loss = trained.step(next(iter(batches())))
    _answer(cpu=time.process_time(), loss=loss)
    for line in sys.stdin:
        name = line.strip()
        if name == "pass":
            cpu, wall = time.process_time(), time.perf_counter()
            for batch in batches():
                trained.step(batch)
            _answer(cpu=time.process_time() - cpu, wall=time.perf_counter() - wall)
        elif name == "peak":
            stats = jax.devices()[0].memory_stats() or {}
            _answer(bytes=peak_bytes(), device_bytes=stats.get("peak_bytes_in_use"))
        elif name == "matmul":
            _answer(gflops=matmul_rate(request["dtype"]))
        else:
            raise ValueError(f"the command is {name!r}; accepted are pass, peak and matmul.")


def _answer(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def main(argv: Sequence[str]) -> None:
    with open(argv[1], encoding="utf-8") as file:
        serve(json.load(file))


if __name__ == "__main__":
    app.run(main)
