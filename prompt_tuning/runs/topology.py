# SPDX-License-Identifier: Apache-2.0
"""The devices and processes of a run, as the gin files' `PjitPartitioner` wants them used."""

import secrets
from typing import Any

import jax

from prompt_tuning.partitioning import mesh, partitioner, processes


def partitioner_of(settings: Any | None) -> partitioner.Partitioner:
    """All devices of all processes, laid out as `settings` say.

    Args:
      settings: `config.partitioning.PjitPartitioner`; None for whole models, standard rules.

    Raises:
      ValueError: the devices cannot be divided so, or there is no such backend.
    """
    if settings is None:
        return partitioner.Partitioner(mesh.make_mesh())
    try:
        found = jax.devices(settings.backend)
    except RuntimeError as error:
        raise ValueError(
            f"JAX has no backend {settings.backend!r}: {error}; set "
            "partitioning.PjitPartitioner.backend = None for the default."
        ) from error
    grid = mesh.make_mesh(settings.num_partitions, settings.model_parallel_submesh, found)
    return partitioner.Partitioner(grid, settings.logical_axis_rules)


def data_arguments(part: partitioner.Partitioner, config: Any) -> dict[str, Any]:
    """What a process tells the batches of `config`: its part of them, and an order for all.

    Args:
      part: of the run.
      config: `config.dataset_config.DatasetConfig`.
    """
    index, count = part.batch_shard
    seed = processes.of_leader(secrets.randbits(31)) if config.seed is None else config.seed
    return {"shard_index": index, "num_shards": count, "seed": seed}
