# SPDX-License-Identifier: Apache-2.0
"""Our side of memory_benchmark: two steps of prompt tuning in a process of its own.

python memory_worker.py REQUEST.json
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from prompt_tuning.checkpoints import base_checkpoint, t5x_format
from prompt_tuning.config import allocator
from prompt_tuning.data import token_rows
from prompt_tuning.models import models, network
from prompt_tuning.partitioning import partitioner
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.runs import dry_run, topology
from prompt_tuning.training import adafactor, optimizers, subset, trainer

PROMPT_NAME = "encoder/prompt/prompt/prompt"


class _Vocabulary:
    eos_id = 1


def make_model(config: network.T5Config, length: int) -> models.EncoderDecoderModel:
    """A prompted T5 with the optimizer of prompt tuning."""
    module = prompted_network.PromptedTransformer(
        config, prompt_factory=lambda: combine.Prompt(prompt.Prompt(length))
    )
    traversal = optimizers.ModelParamTraversal(subset.match_any([".*/prompt/.*"]))
    optimizer = optimizers.MultiOptimizer([(traversal, adafactor.Adafactor())])
    return models.EncoderDecoderModel(
        module, _Vocabulary(), _Vocabulary(), optimizer, loss_normalizing_factor=None
    )


def train(request: dict) -> dict:
    """Two steps; what the second took, the process's largest size and the size predicted."""
    checkpoint = base_checkpoint.open_base(request["folder"])
    config = network.T5Config(**checkpoint.config.t5_config_fields() | request["config"])
    first = np.load(request["prompt"])
    model = make_model(config, len(first))
    params = t5x_format.read_arrays(checkpoint.target(), "float32") | {PROMPT_NAME: first}
    part = partitioner.Partitioner()
    groups = topology.row_groups(part, token_rows.LENGTH_BUCKETS)
    job = trainer.Trainer(
        model,
        model.optimizer_def,
        lambda step: jnp.float32(1e-3),
        rng=jax.random.key(0),
        partitioner=part,
        row_groups=groups,
        after_first_group=allocator.keep_freed_memory,  # As `train`.
    )
    state, frozen = job.init_state(params)
    shapes = {name: jax.ShapeDtypeStruct(p.shape, p.dtype) for name, p in params.items()}
    del params, checkpoint
    with np.load(request["batch"]) as file:
        batch = dict(file)
    before = _resident("VmRSS")
    losses, seconds = [], []
    for _ in range(2):
        began = time.process_time()
        state, metrics = job.train_step(state, frozen, batch)
        losses.append(float(metrics["cross_ent_loss"] / metrics["weight_sum"]))
        seconds.append(time.process_time() - began)
    lengths = {
        "inputs": batch["encoder_input_tokens"].shape[1],
        "targets": batch["decoder_target_tokens"].shape[1],
    }
    rows = len(batch["encoder_input_tokens"])
    rows = groups.group_rows(rows) if groups else rows
    parts = dry_run.memory_parts(model, shapes, [PROMPT_NAME], rows, lengths)
    return {
        "peak": _resident("VmHWM"),
        "before_first_step": before,
        "cpu": seconds[1],
        "losses": losses,
        "predicted": sum(parts.values()),
    }


def _resident(field: str) -> int:
    """Bytes, as the kernel counts them."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def main() -> None:
    allocator.use_one_heap()
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    print(json.dumps(train(request)), flush=True)


if __name__ == "__main__":
    main()
