# SPDX-License-Identifier: Apache-2.0
"""T5X's partitioning settings: which logical axis of an array lies on which axis of the mesh.

Settings and rules only; devices are the run's affair.
"""

import dataclasses
from collections.abc import Sequence

# (logical axis, mesh axis or None for "replicated")
LogicalAxisRules = Sequence[tuple[str, str | None]]


def standard_logical_axis_rules(
    activation_partitioning_dims: int = 1,
    parameter_partitioning_dims: int = 1,
    additional_rules: LogicalAxisRules | None = None,
) -> LogicalAxisRules:
    """T5X's rules: wide axes of the parameters over `model`, the batch over `data`.

    Args:
        activation_partitioning_dims: 1, or 2 to lie activations' `embed` over `model` too.
        parameter_partitioning_dims: 1, or 2 to lie parameters' `embed` over `data` too.
        additional_rules: appended, so they hold for axes that have no rule yet.

    Raises:
        ValueError: another number of dimensions.
    """
    for name, dims in (
        ("activation_partitioning_dims", activation_partitioning_dims),
        ("parameter_partitioning_dims", parameter_partitioning_dims),
    ):
        if dims not in (1, 2):
            raise ValueError(
                f"standard_logical_axis_rules.{name} is {dims!r}; accepted are 1 and 2. "
                "Set ACTIVATION_PARTITIONING_DIMS or the binding itself."
            )
    rules: list[tuple[str, str | None]] = [("batch", "data")]
    rules += [(axis, "model") for axis in ("vocab", "mlp", "heads", "joined_kv")]
    if activation_partitioning_dims == 2:
        rules.append(("embed", "model"))
    rules.append(("embed", "data" if parameter_partitioning_dims == 2 else None))
    rules += [(axis, None) for axis in ("kv", "relpos_buckets", "length", "layers", "stack")]
    return tuple(rules) + tuple(additional_rules or ())


def prompt_logical_axis_rules() -> LogicalAxisRules:
    """A prompt is whole on every device."""
    return (("prompt", None), ("prompt_embed", None))


@dataclasses.dataclass(frozen=True)
class PjitPartitioner:
    """How the model and the batch lie on the devices.

    Attributes:
        num_partitions: devices that share one copy of the model; batches are cut over the copies.
        model_parallel_submesh: the same as a box (x, y, z, cores of a chip) of a TPU torus, used
            instead; elsewhere the product counts.
        params_on_devices: parameters live in device memory; True.
        backend: XLA backend, or None for JAX's default.
        ici_mesh_shape: not supported.
        dcn_mesh_shape: not supported.
        logical_axis_rules: see `standard_logical_axis_rules`.
    """

    num_partitions: int | None = None
    model_parallel_submesh: tuple[int, int, int, int] | None = None
    params_on_devices: bool = True
    backend: str | None = None
    ici_mesh_shape: dict[str, int] | None = None
    dcn_mesh_shape: dict[str, int] | None = None
    logical_axis_rules: LogicalAxisRules | None = None

    def __post_init__(self) -> None:
        submesh = self.model_parallel_submesh
        if submesh is not None and len(submesh) != 4:
            raise ValueError(
                f"PjitPartitioner.model_parallel_submesh is {submesh!r}; it needs four numbers."
            )
        sides = (1,) if self.num_partitions is None else (self.num_partitions,)
        for side in submesh or sides:
            if not isinstance(side, int) or side < 1:
                raise ValueError(
                    f"PjitPartitioner splits the model over {submesh or self.num_partitions} "
                    "devices; numbers must be at least 1: "
                    "partitioning.PjitPartitioner.num_partitions or model_parallel_submesh."
                )
        for name in ("ici_mesh_shape", "dcn_mesh_shape"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"PjitPartitioner.{name} is not supported; remove the binding "
                    f"partitioning.PjitPartitioner.{name}."
                )
        if not self.params_on_devices:
            raise ValueError(
                "PjitPartitioner.params_on_devices is False; parameters are always in device "
                "memory. Set partitioning.PjitPartitioner.params_on_devices = True."
            )
