# SPDX-License-Identifier: Apache-2.0
"""The devices and processes of a run, as the gin files' `PjitPartitioner` wants them used."""

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from prompt_tuning.partitioning import mesh, partitioner, processes
from prompt_tuning.training import row_groups as row_groups_lib

# Rows that fill a few cores, and rows for each of many: 8 rows with a prompt of 100 are as fast,
# row by row, as 32 are.
_FEWEST_ROWS, _ROWS_OF_A_CORE = 8, 2


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


def _cores() -> int:
    """Those that the process may use, where the system says so."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def row_groups(
    part: partitioner.Partitioner, length_buckets: Mapping[str, Sequence[int]]
) -> row_groups_lib.RowGroups | None:
    """How a training step divides its batch: on one CPU by length, elsewhere not at all.

    Accelerators want large batches, and several devices have divided the batch already.

    Args:
      part: of the run.
      length_buckets: widths of "inputs" and "targets".
    """
    devices = part.mesh.devices.flat
    if len(devices) > 1 or devices[0].platform != "cpu":
        return None
    rows = max(_FEWEST_ROWS, _ROWS_OF_A_CORE * _cores())
    widths = {"encoder": length_buckets["inputs"], "decoder": length_buckets["targets"]}
    return row_groups_lib.RowGroups(rows, widths)
