# SPDX-License-Identifier: Apache-2.0
"""T5 1.1 XXL (11 billion weights) on 8, 64 and 256 devices: memory, traffic and time to compile.

Nothing is computed and no weight exists: the training step is lowered and compiled ahead of time
for virtual CPU devices, and the figures are XLA's own. Writes the table of docs/topologies.md:

  tools/bazel run //tests/benchmarks:topology_report
"""

import dataclasses
import time

import jax
import jax.numpy as jnp
from absl import app, flags
from flax import traverse_util

from prompt_tuning.models import models, network
from prompt_tuning.partitioning import axis_rules, mesh, partitioner
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.training import adafactor, optimizers, subset, trainer
from tests.benchmarks import collective_bytes

_LAYERS = flags.DEFINE_integer("layers", 24, "Layers of each stack; 24 is XXL.")
_DEVICES = flags.DEFINE_multi_integer("devices", [8, 64, 256], "Topologies to compile.")

ROWS_OF_A_COPY, INPUTS, TARGETS, PROMPT_LENGTH = 16, 512, 16, 100
FULLY_SHARDED = (*axis_rules.STANDARD, ("embed", "data"))
_MODEL = 8  # Devices that share a copy.


@dataclasses.dataclass(frozen=True)
class Figures:
    """Of one device, in bytes, and seconds of this process's CPU time."""

    devices: int
    fully_sharded: bool
    weights: int
    temporary: int
    traffic: dict[str, int]
    lower: float
    compile: float

    def row(self) -> str:
        told = {kind: _gigabytes(size) for kind, size in sorted(self.traffic.items())}
        kinds = ", ".join(f"{kind} {size}" for kind, size in told.items() if size != "0.00")
        cells = (
            f"{self.devices}",
            f"{self.devices // _MODEL} x {_MODEL}",
            "embed over data" if self.fully_sharded else "standard",
            f"{ROWS_OF_A_COPY * self.devices // _MODEL}",
            _gigabytes(self.weights),
            _gigabytes(self.temporary),
            kinds,
            f"{self.lower:.1f} + {self.compile:.1f}",
        )
        return "| " + " | ".join(cells) + " |"


HEADER = (
    "| devices | data x model | rules | batch | arguments GB | temporary GB | "
    "received in a step GB | lower + compile, CPU s |\n|---|---|---|---|---|---|---|---|"
)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f}"


def make_model(layers: int) -> models.EncoderDecoderModel:
    """T5 1.1 XXL as `sizes/xxl.gin` has it, each stack as one loop, activations in bfloat16."""
    config = network.T5Config(
        vocab_size=32128, emb_dim=4096, num_heads=64, head_dim=64, mlp_dim=10240,
        num_encoder_layers=layers, num_decoder_layers=layers, dtype="bfloat16",
        frozen_dtype="bfloat16", scan_layers=True, remat_policy="full",
    )  # fmt: skip
    module = prompted_network.PromptedTransformer(
        config, prompt_factory=lambda: combine.Prompt(prompt.Prompt(PROMPT_LENGTH))
    )
    return models.EncoderDecoderModel(module, None, None, None, loss_normalizing_factor=None)


def figures(layers: int, devices: int, fully_sharded: bool) -> Figures:
    """Lowers and compiles one step."""
    grid = mesh.make_mesh(_MODEL, devices=jax.devices()[:devices])
    part = partitioner.Partitioner(grid, FULLY_SHARDED if fully_sharded else None)
    model, prompts = make_model(layers), subset.match_any([".*/prompt/.*"])
    optimizer = optimizers.MultiOptimizer(
        [(optimizers.ModelParamTraversal(prompts), adafactor.Adafactor())]
    )
    job = trainer.Trainer(
        model,
        optimizer,
        lambda step: jnp.float32(0.3),
        rng=jax.random.PRNGKey(0),
        partitioner=part,
    )
    rows = ROWS_OF_A_COPY * part.data_parallelism
    state, frozen = job.abstract_state(_parameters(model))
    began = time.process_time()
    lowered = job.lower_train_step(state, frozen, _batch(part, rows))
    lowering, began = time.process_time() - began, time.process_time()
    compiled = lowered.compile()
    memory = compiled.memory_analysis()
    return Figures(
        devices,
        fully_sharded,
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        collective_bytes.collective_bytes(compiled.as_text()),
        lowering,
        time.process_time() - began,
    )


def _parameters(model: models.EncoderDecoderModel) -> dict[str, jax.ShapeDtypeStruct]:
    shapes = {name: (1, 8) for name in ("encoder_input_tokens", "decoder_input_tokens")}
    variables = jax.eval_shape(
        lambda key: model.get_initial_variables(key, shapes), jax.random.key(0)
    )
    return traverse_util.flatten_dict(variables["params"], sep="/")


def _batch(part: partitioner.Partitioner, rows: int) -> dict[str, jax.ShapeDtypeStruct]:
    widths = {
        "encoder_input_tokens": INPUTS,
        "decoder_input_tokens": TARGETS,
        "decoder_target_tokens": TARGETS,
        "decoder_loss_weights": TARGETS,
    }
    return {
        name: jax.ShapeDtypeStruct(
            (rows, width), jnp.int32, sharding=part.batch_sharding((rows, width))
        )
        for name, width in widths.items()
    }


def main(argv: list[str]) -> None:
    del argv
    jax.config.update("jax_num_cpu_devices", max(_DEVICES.value))
    print(HEADER, flush=True)
    for devices in _DEVICES.value:
        # Of one copy there is nothing to share out.
        for fully_sharded in (False, True) if devices > _MODEL else (False,):
            print(figures(_LAYERS.value, devices, fully_sharded).row(), flush=True)


if __name__ == "__main__":
    app.run(main)
