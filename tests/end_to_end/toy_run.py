# SPDX-License-Identifier: Apache-2.0
"""Prompt tuning of a very small T5 on made-up batches, in one process or as one of several.

The parts of a run (mesh, trainer, checkpoints, loop) without gin, data sets and TensorFlow, so that
a test can start many. As a program it takes one JSON text: `processes`, `index`, `port`, `devices`
of each process, and the arguments of `train`.
"""

import functools
import json
import os
import sys
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from prompt_tuning.config import process_flags
from prompt_tuning.models import models, network
from prompt_tuning.partitioning import axis_rules, mesh, partitioner, processes
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.training import adafactor, checkpointing, loop, optimizers, subset
from prompt_tuning.training import trainer as trainer_lib

PROMPT = "encoder/prompt/prompt/prompt"
FULLY_SHARDED = (*axis_rules.STANDARD, ("embed", "data"))
ROWS, INPUTS, TARGETS = 16, 8, 4
INTERRUPTED, LOST = 130, 3


def make_model() -> models.EncoderDecoderModel:
    """One layer each; every width divides by eight."""
    config = network.T5Config(
        vocab_size=64, emb_dim=16, num_heads=8, head_dim=4, mlp_dim=32, num_encoder_layers=1,
        num_decoder_layers=1, dtype="float32", dropout_rate=0.1,
    )  # fmt: skip
    module = prompted_network.PromptedTransformer(
        config,
        prompt_factory=lambda: combine.Prompt(prompt.Prompt(4, nn.initializers.uniform(0.5))),
    )
    return models.EncoderDecoderModel(module, None, None, None)


@functools.cache
def initial_parameters() -> dict[str, np.ndarray]:
    """The same in every run; computed once in a process."""
    shapes = {name: (1, 8) for name in ("encoder_input_tokens", "decoder_input_tokens")}
    initial = jax.jit(lambda key: make_model().get_initial_variables(key, shapes)["params"])
    params = jax.device_get(initial(jax.random.PRNGKey(0)))
    return traverse_util.flatten_dict(params, sep="/")


class Batches:
    """Batches by their number; each process makes its own rows of them."""

    def __init__(self, shard: tuple[int, int], seconds: float = 0.0):
        self.position, self._seconds = 0, seconds
        size = ROWS // shard[1]
        self._rows = slice(shard[0] * size, (shard[0] + 1) * size)

    def __next__(self):
        random = np.random.RandomState(self.position)
        self.position += 1
        time.sleep(self._seconds)  # So that a test can meet a run in the middle.
        inputs = random.randint(2, 64, size=(ROWS, INPUTS)).astype(np.int32)
        targets = np.repeat(2 + inputs[:, :1] % 8, TARGETS, axis=1).astype(np.int32)
        shifted = np.pad(targets[:, :-1], ((0, 0), (1, 0)))
        batch = {
            "encoder_input_tokens": inputs,
            "decoder_input_tokens": shifted,
            "decoder_target_tokens": targets,
            "decoder_loss_weights": np.ones_like(targets),
        }
        return {name: rows[self._rows] for name, rows in batch.items()}

    def save(self, path: str) -> None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(self.position))

    def restore(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            self.position = int(file.read())


class _Curve:
    """A display that keeps what it is shown."""

    def __init__(self):
        self.losses = []

    def report(self, step, scalars):
        self.losses.append(scalars["loss"])

    def start(self, first_step, total_steps):
        pass

    def advance(self, step):
        pass

    def note(self, text):
        pass

    def stop(self):
        pass


def train(
    part: partitioner.Partitioner,
    model_dir: str,
    *,
    steps: int = 12,
    period: int = 6,
    regex: str = ".*/prompt/.*",
    microbatches: int = 1,
    seconds: float = 0.0,
) -> tuple[loop.TrainingResult, list[float]]:
    """Trains from the newest checkpoint of `model_dir`; returns the result and the losses."""
    model = make_model()
    trainer = trainer_lib.Trainer(
        model,
        optimizers.MultiOptimizer(
            [(optimizers.ModelParamTraversal(subset.match_any([regex])), adafactor.Adafactor())]
        ),
        learning_rate_fn=lambda step: jnp.float32(0.1),
        num_microbatches=microbatches,
        rng=jax.random.PRNGKey(1),
        partitioner=part,
    )
    state, frozen = trainer.init_state(initial_parameters())
    manager = checkpointing.CheckpointManager(model_dir, period, save_paths=[PROMPT])
    batches, curve = Batches(part.batch_shard, seconds), _Curve()
    restored = manager.restore_latest(state)
    if restored is not None:
        state = restored.state
        batches.restore(restored.data_position)
    result = loop.run_training(
        trainer, state, frozen, batches, steps,
        stats_period=1, checkpoint_manager=manager, progress=curve,
    )  # fmt: skip
    return result, curve.losses


def partitioner_of(num_partitions: int, fully_sharded: bool = False, devices=None):
    """The standard rules, or those that lay the parameters over the data axis too."""
    rules = FULLY_SHARDED if fully_sharded else None
    return partitioner.Partitioner(mesh.make_mesh(num_partitions, devices=devices), rules)


def main(text: str) -> int:
    """One process of a run; returns its exit code."""
    given = json.loads(text)
    jax.config.update("jax_num_cpu_devices", given.pop("devices"))
    jax.config.update("jax_disable_most_optimizations", True)  # Most of the time is compilation.
    flags = dict.fromkeys(process_flags.PROCESS_FLAGS)
    count, index = given.pop("processes"), given.pop("index")
    flags |= {"multiprocess_gpu": False, "process_count": count, "process_index": index}
    flags |= {"coordinator_address": f"127.0.0.1:{given.pop('port')}", "heartbeat_timeout": 20}
    process_flags.initialize(flags, {})
    part = partitioner_of(given.pop("num_partitions", 1), given.pop("fully_sharded", False))
    try:
        with processes.losses_told():
            result, losses = train(part, **given)
    except processes.ProcessLostError as error:
        print(f"error: {error}", file=sys.stderr)
        return LOST
    if result.interrupted:
        print(f"{result.interrupted} at step {int(result.state.step)}")
        return INTERRUPTED
    if processes.leads():
        with open(os.path.join(given["model_dir"], "losses.json"), "w", encoding="utf-8") as file:
            json.dump(losses, file)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    process_flags.leave(code if code == LOST else 0)
    sys.exit(code)
