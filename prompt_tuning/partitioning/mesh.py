# SPDX-License-Identifier: Apache-2.0
"""The grid of devices, [data, model]: each row holds one copy of the model, split over its columns.

T5X's two ways to say how large a row is: a number of partitions, or for TPUs a box of the torus.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils

DATA, MODEL = "data", "model"
AXES = (DATA, MODEL)

Submesh = tuple[int, int, int, int]


def make_mesh(
    num_partitions: int | None = None,
    model_parallel_submesh: Submesh | None = None,
    devices: Sequence[Any] | None = None,
) -> jax.sharding.Mesh:
    """The mesh of all devices.

    Args:
        num_partitions: devices that share one copy of the model; None is 1.
        model_parallel_submesh: the same as a box (x, y, z, cores of a chip) of a TPU torus; used
            instead. Where devices have no coordinates, the product of its sides.
        devices: default `jax.devices()`.

    Returns:
        Axes "data" and "model". The devices of a process have neighbouring places on "data", so
        that each process reads one piece of a batch.

    Raises:
        ValueError: the devices cannot be divided into such rows.
    """
    devices = list(jax.devices() if devices is None else devices)
    size = math.prod(model_parallel_submesh) if model_parallel_submesh else num_partitions or 1
    if len(devices) % size:
        raise ValueError(
            f"there are {len(devices)} devices, which copies of the model split over {size} "
            "devices each cannot share equally; set partitioning.PjitPartitioner.num_partitions "
            "or model_parallel_submesh to a divisor."
        )
    if model_parallel_submesh and hasattr(devices[0], "coords"):
        rows = _boxes(devices, model_parallel_submesh)
    else:
        # Knows the torus of a TPU slice; elsewhere it keeps the order of the devices.
        grid = mesh_utils.create_device_mesh((len(devices) // size, size), devices)
        rows = [list(row) for row in grid]
    rows.sort(key=lambda row: min(device.process_index for device in row))
    return jax.sharding.Mesh(np.array(rows, dtype=object), AXES)


def _boxes(devices: Sequence[Any], submesh: Submesh) -> list[list[Any]]:
    """Rows of devices that lie in the same box of the torus, in the order of their coordinates."""
    boxes: dict[tuple[int, ...], list[tuple[tuple[int, ...], Any]]] = {}
    for device in devices:
        place = (*device.coords, device.core_on_chip)
        box = tuple(at // side for at, side in zip(place, submesh, strict=True))
        boxes.setdefault(box, []).append((place, device))
    sizes = {len(found) for found in boxes.values()}
    if sizes != {math.prod(submesh)}:
        raise ValueError(
            f"boxes of {submesh} do not fill the torus of {len(devices)} TPU cores: some hold "
            f"{min(sizes)} of them; set partitioning.PjitPartitioner.model_parallel_submesh to "
            "sides that divide those of the slice."
        )
    ordered = (sorted(boxes[box], key=lambda pair: pair[0]) for box in sorted(boxes))
    return [[device for _, device in found] for found in ordered]
