# SPDX-License-Identifier: Apache-2.0
"""One process of training_benchmark that trains with this project's parts (training_process starts it).

Like `training_peer` it opens a HuggingFace folder, runs a first step, prints a line of JSON with
the CPU-seconds since the process began, and then answers commands, one a line:

  pass [COUNT]  every batch COUNT times without waiting between them: {"cpu", "wall"} of one time
  wait [COUNT]  the same, waiting for the loss of each step
  batch FILE    from now on this one
  peak          largest resident size so far: {"bytes"}, on a device also {"device_bytes"}
  matmul        what this process reaches in one large product: {"gflops"} a second

With `check` in the request it first writes logits and the prompt's gradient of a batch as npz.
"""

import functools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from prompt_tuning.checkpoints import base_checkpoint
from prompt_tuning.config import allocator
from prompt_tuning.data import token_rows
from prompt_tuning.models import models, network
from prompt_tuning.partitioning import partitioner
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.runs import compilation_cache, initialization, topology
from prompt_tuning.training import adafactor, optimizers, subset, trainer

_PROMPT = "encoder/prompt/prompt/prompt"
# A product that fills the processor, or a card.
_MATMUL_SIZES = {"cpu": 2048, "gpu": 8192}
_PRODUCTS = {"cpu": 1, "gpu": 20}


def peak_bytes() -> int:
    """The process's largest resident size, by the kernel."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def matmul_rate(dtype: str, device: str) -> float:
    """GFLOP of a square product per CPU-second, on a device per second."""
    size, count = _MATMUL_SIZES[device], _PRODUCTS[device]
    clock = time.process_time if device == "cpu" else time.perf_counter
    x = jax.random.normal(jax.random.key(0), (size, size)).astype(dtype)
    product = jax.jit(jax.numpy.dot)
    product(x, x).block_until_ready()
    seconds = []
    for _ in range(5):
        began = clock()
        jax.block_until_ready([product(x, x) for _ in range(count)][-1])
        seconds.append((clock() - began) / count)
    return 2e-9 * size**3 / float(np.median(seconds))


def open_model(request: dict[str, Any]) -> tuple[models.EncoderDecoderModel, dict[str, Any]]:
    """The model of the request's folder, and all its parameters with the request's prompt.

    As `train` opens it: pieces of the mapped file go to their places, several at a time.
    """
    checkpoint = base_checkpoint.open_base(request["folder"])
    params: dict[str, Any] = dict(
        initialization.read(checkpoint.target(), request["dtype"], partitioner.Partitioner())
    )
    params[_PROMPT] = np.load(request["prompt"])
    length = len(params[_PROMPT])
    config = network.T5Config(
        **checkpoint.config.t5_config_fields(),
        dtype=request["dtype"],
        scan_layers=request.get("scan_layers", False),
        remat_policy="full" if request.get("checkpointing") else "none",
    )
    module = prompted_network.PromptedTransformer(
        config, prompt_factory=functools.partial(_make_prompt, length)
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
        length_buckets=None if full_width else token_rows.LENGTH_BUCKETS,
    )


class Trained:
    """A frozen model with a prompt, and its training state."""

    def __init__(self, request: dict[str, Any]):
        self.model, params = open_model(request)
        part = partitioner.Partitioner()
        groups = topology.row_groups(part, token_rows.LENGTH_BUCKETS)
        self.trainer = trainer.Trainer(
            self.model,
            self.model.optimizer_def,
            lambda step: 0.3,
            rng=jax.random.key(0),
            partitioner=part,
            row_groups=None if request.get("full_width") else groups,
            after_first_group=allocator.keep_freed_memory,  # As `train`.
        )
        self.state, self.frozen = self.trainer.init_state(params)

    def step(self, batch: dict[str, np.ndarray]) -> jax.Array:
        """One update, without waiting for it; the loss."""
        self.state, metrics = self.trainer.train_step(self.state, self.frozen, batch)
        return metrics["loss"]

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


class Server:
    """Answers the commands that the top of this file names."""

    def __init__(self, trained: Any, request: dict[str, Any]):
        self.trained, self.request = trained, request
        self.batches: list[dict[str, np.ndarray]] = []
        if "batch" in request:
            self.batch(request["batch"])

    def one_epoch(self) -> Iterable[dict[str, np.ndarray]]:
        return self.batches or text_batches(self.request)

    def batch(self, path: str) -> dict[str, Any]:
        with np.load(path) as file:
            self.batches = [dict(file)]
        return {}

    def check(self) -> None:
        """What is to be compared, if the request asks for it."""
        if "check" in self.request:
            with np.load(self.request["check"]["batch"]) as file:
                self.trained.check(dict(file), self.request["check"]["result"])

    def first_step(self) -> dict[str, Any]:
        began = time.perf_counter()
        batch = next(iter(self.one_epoch()))
        loss = float(self.trained.step(batch))
        return {"cpu": time.process_time(), "step": time.perf_counter() - began, "loss": loss}

    def run(self, count: str = "1", waits: bool = False) -> dict[str, Any]:
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(int(count)):
            for batch in self.one_epoch():
                loss = self.trained.step(batch)
                if waits:
                    loss.block_until_ready()
        loss = float(loss)  # Waits for the device.
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return {"cpu": cpu / int(count), "wall": wall / int(count), "loss": loss}

    def answer(self, command: str) -> dict[str, Any]:
        """What a line asks for; of a device that is too small `{"out_of_memory": True}`."""
        name, *arguments = command.split()
        commands = {
            "pass": self.run,
            "wait": functools.partial(self.run, waits=True),
            "batch": self.batch,
            "peak": self.peak,
            "matmul": lambda: {
                "gflops": matmul_rate(self.request["dtype"], self.request["device"])
            },
        }
        if name not in commands:
            raise ValueError(f"the command is {name!r}; accepted are {', '.join(commands)}.")
        try:
            return commands[name](*arguments)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return {"out_of_memory": True}

    def peak(self) -> dict[str, Any]:
        found = {"bytes": peak_bytes()}
        stats = jax.devices()[0].memory_stats()
        return found | ({"device_bytes": stats["peak_bytes_in_use"]} if stats else {})


def serve(request: dict[str, Any]) -> None:
    """Runs the check and the first step, then one command a line."""
    compilation_cache.enable()
    began = time.perf_counter()
    trained = Trained(request)
    jax.block_until_ready(trained.frozen)
    loaded = time.perf_counter() - began
    server = Server(trained, request)
    server.check()
    if "batch" not in request and "texts" not in request:
        _answer()
        return
    about = {"jax": jax.__version__, "processor": jax.devices()[0].device_kind}
    _answer(**server.first_step(), load=loaded, about=about)
    for line in sys.stdin:
        _answer(**server.answer(line))


def _answer(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)
