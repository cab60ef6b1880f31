# SPDX-License-Identifier: Apache-2.0
"""From names of axes to places on the mesh, by T5X's rules. Knows neither devices nor values."""

from collections.abc import Mapping, Sequence

from jax.sharding import PartitionSpec

from prompt_tuning.partitioning.mesh import DATA, MODEL

# (logical axis, mesh axis or None for "whole"), the first that fits wins.
Rules = Sequence[tuple[str, str | None]]

# T5X's for one dimension of activations and of parameters.
STANDARD: Rules = (
    ("batch", DATA),
    *((axis, MODEL) for axis in ("vocab", "mlp", "heads", "joined_kv")),
)


def partition_spec(
    axes: Sequence[str | None], shape: Sequence[int], rules: Rules, sizes: Mapping[str, int]
) -> PartitionSpec:
    """Where the axes of an array lie.

    As in T5X, rules are tried in their order, an axis takes the first whose mesh axis the array does
    not use yet, and an axis without a rule is whole. An axis whose length the mesh axis does not
    divide is whole, too: such ones are small (the heads of a bias table, an odd vocabulary).

    Args:
        axes: a name for each axis; None is whole.
        shape: of the array.
        rules: see `Rules`.
        sizes: {mesh axis: number of devices along it}.

    Raises:
        ValueError: a rule names an axis that the mesh does not have.
    """
    places: list[str | None] = [None] * len(axes)
    decided = [False] * len(axes)
    for logical, place in rules:
        if place is not None and place not in sizes:
            raise ValueError(
                f"the rule ({logical!r}, {place!r}) names a mesh axis that does not exist; "
                f"accepted are {', '.join(sizes)} and None: "
                "partitioning.PjitPartitioner.logical_axis_rules."
            )
        for i, name in enumerate(axes):
            if name != logical or decided[i] or (place is not None and place in places):
                continue
            if place is not None and shape[i] % sizes[place]:
                continue
            places[i], decided[i] = place, True
    return PartitionSpec(*places)
