# SPDX-License-Identifier: Apache-2.0
"""What every run and its `--dry_run` check alike, when the model is made and nothing is read yet.

The devices are there and divide, batches divide among the copies of the model, and the checkpoint
and the prompt fit the model.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from prompt_tuning.partitioning import partitioner
from prompt_tuning.runs import (
    artifact_checks,
    devices,
    initialization,
    restore_paths,
    topology,
)


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What a run begins with.

    Attributes:
      part: where arrays lie.
      plan: where each parameter will come from.
    """

    part: partitioner.Partitioner
    plan: initialization.Plan


def prepare(
    model: Any,
    restore: Any | None,
    partitioner_settings: Any | None,
    training_sets: Iterable[Any] = (),
    prompt_file: str | None = None,
) -> Preparation:
    """Checks what a run of these settings would trip over.

    Args:
      model: `models.EncoderDecoderModel`.
      restore: `config.checkpoint_config.RestoreCheckpointConfig`, or None for all from scratch. Of
        several checkpoints the first is looked at.
      partitioner_settings: `config.partitioning.PjitPartitioner` or None.
      training_sets: `config.dataset_config.DatasetConfig`s whose batches all copies of the model
        share; None among them is passed over.
      prompt_file: where the prompt's initializer reads it.

    Raises:
      ValueError, FileNotFoundError: the first mistake, in one sentence.
    """
    devices.check()
    part = topology.partitioner_of(partitioner_settings)
    for config in training_sets:
        if config is not None:
            part.check_batch_size(config.batch_size)
    if restore is not None and restore.mode == "all":
        first = restore_paths.restore_paths(restore)[0]
        restore = dataclasses.replace(restore, path=first, mode="specific")
    artifact_checks.check_file(
        prompt_file,
        restore,
        vocabulary=model.input_vocabulary,
        length=artifact_checks.prompt_length(model),
        width=model.module.config.emb_dim,
    )
    return Preparation(part, initialization.plan(model, restore))
