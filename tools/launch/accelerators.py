# SPDX-License-Identifier: Apache-2.0
"""TPU slices by name: chips, hosts, chip grid, and the software version that each generation boots;
and the GPUs of a node, TYPE:COUNT.

The sizes are those that Cloud TPU documents for each generation. Knows nothing of zones, quotas or
prices, which change without notice.
"""

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable

_ALIASES = {"v5e": "v5litepod", "v5lite": "v5litepod"}
_NAME = re.compile(r"(?P<generation>v\d+[a-z]*)-(?P<size>\d+)")
_GPUS = re.compile(r"(?P<type>[A-Za-z0-9_.-]+):(?P<count>[1-9][0-9]*)")


@dataclasses.dataclass(frozen=True)
class Slice:
    """One accelerator type.

    Attributes:
        name: as `gcloud` spells it: v4-32, v5litepod-64.
        chips: TPU chips in the slice.
        hosts: TPU VMs, and so JAX processes.
        topology: the grid of chips, 2x2x4.
        runtime_version: software version of the TPU VM.
        gke_accelerator: GKE's node label, or None where GKE has no such nodes.
    """

    name: str
    chips: int
    hosts: int
    topology: str
    runtime_version: str
    gke_accelerator: str | None

    @property
    def chips_per_host(self) -> int:
        return self.chips // self.hosts


@dataclasses.dataclass(frozen=True)
class Gpus:
    """The GPUs of one node; the type is None where any will do."""

    type: str | None
    count: int


@dataclasses.dataclass(frozen=True)
class _Generation:
    """The slices of one generation; `units` is 2 where names count cores and 1 for chips."""

    units: int
    runtime_version: str
    gke_accelerator: str | None
    topologies: tuple[str, ...]


_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = tuple("2x2x1 2x2x2 2x2x4 2x4x4 4x4x4 4x4x8 4x8x8 8x8x8 8x8x16 8x16x16".split())

_GENERATIONS = {
    "v2": _Generation(2, "tpu-ubuntu2204-base", None, ("2x2", "4x4", "8x8", "8x16", "16x16")),
    "v3": _Generation(
        2,
        "tpu-ubuntu2204-base",
        "tpu-v3-slice",
        ("2x2", "4x4", "8x8", "8x16", "16x16", "16x32", "32x32"),
    ),
    "v4": _Generation(2, "tpu-ubuntu2204-base", "tpu-v4-podslice", _CUBES),
    "v5litepod": _Generation(1, "v2-alpha-tpuv5-lite", "tpu-v5-lite-podslice", _FLAT),
    "v5p": _Generation(2, "v2-alpha-tpuv5", "tpu-v5p-slice", (*_CUBES, "16x16x16", "16x16x24")),
    "v6e": _Generation(1, "v2-alpha-tpuv6e", "tpu-v6e-slice", _FLAT),
}


def _hosts(generation: str, chips: int) -> int:
    """v5e and v6e put up to 8 chips on one host; larger slices, and all others, have 4 on each."""
    if generation in ("v5litepod", "v6e") and chips <= 8:
        return 1
    return max(1, chips // 4)


def _slices() -> Iterable[Slice]:
    for name, generation in _GENERATIONS.items():
        for topology in generation.topologies:
            chips = math.prod(map(int, topology.split("x")))
            yield Slice(
                name=f"{name}-{chips * generation.units}",
                chips=chips,
                hosts=_hosts(name, chips),
                topology=topology,
                runtime_version=generation.runtime_version,
                # The single v3 board is another kind of node in GKE.
                gke_accelerator="tpu-v3-device"
                if (name, chips) == ("v3", 4)
                else generation.gke_accelerator,
            )


SLICES = {found.name: found for found in _slices()}


def find(name: str) -> Slice:
    """Returns the slice called `name`; v5e-64 is accepted for v5litepod-64.

    Raises:
        ValueError: there is no such slice; the message names the nearest valid one.
    """
    match = _NAME.fullmatch(name)
    if match:
        generation = _ALIASES.get(match["generation"], match["generation"])
        canonical = f"{generation}-{int(match['size'])}"
        if canonical in SLICES:
            return SLICES[canonical]
    raise ValueError(
        f"accelerator {name!r} is not a TPU slice; the nearest valid one is {nearest(name)} "
        f"({_accepted(name)}). Change the attribute accelerator of pod_launch."
    )


def find_gpus(name: str) -> Gpus:
    """Returns the GPUs that TYPE:COUNT means; the type gpu is any.

    Raises:
        ValueError: `name` is not TYPE:COUNT.
    """
    match = _GPUS.fullmatch(name)
    if not match:
        raise ValueError(
            f"accelerator {name!r} is not TYPE:COUNT, the GPUs of one node such as a100:8 or "
            "gpu:4. Change the attribute accelerator of pod_launch."
        )
    return Gpus(None if match["type"] == "gpu" else match["type"], int(match["count"]))


def nearest(name: str) -> str:
    """The valid slice nearest to `name`: of the same generation by size, else by spelling."""
    match = _NAME.fullmatch(name)
    generation = _ALIASES.get(match["generation"], match["generation"]) if match else None
    if match and generation in _GENERATIONS:
        wanted = math.log(max(1, int(match["size"])))
        return min(_of(generation), key=lambda known: abs(math.log(_size(known)) - wanted))
    return difflib.get_close_matches(name, SLICES, n=1, cutoff=0.0)[0]


def _accepted(name: str) -> str:
    generation = name.partition("-")[0]
    generation = _ALIASES.get(generation, generation)
    if generation in _GENERATIONS:
        return f"{generation} comes in {', '.join(str(_size(known)) for known in _of(generation))}"
    return f"generations are {', '.join(_GENERATIONS)}"


def _of(generation: str) -> list[str]:
    return [name for name in SLICES if name.partition("-")[0] == generation]


def _size(name: str) -> int:
    return int(name.partition("-")[2])
