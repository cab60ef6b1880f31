# SPDX-License-Identifier: Apache-2.0
"""What the devices of a compiled program send one another, counted from its HLO text.

A collective counts as often as the loops around it run. Its bytes are those of its result on one
device: what a device receives, up to the algorithm's factor of at most two.
"""

import collections
import math
import re

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")

_ITEM_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
_ITEM_BYTES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8}

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_COLLECTIVE = re.compile(r" = (.+?) (" + "|".join(KINDS) + r")(?:-start)?\(")
_WHILE = re.compile(r" while\(.*body=%?([\w.\-]+)")
_TRIPS = re.compile(r"known_trip_count[^\d]*(\d+)")
_CALL = re.compile(r"(?:calls|to_apply)=%?([\w.\-]+)")
_SHAPE = re.compile(r"([a-z]+\d*)\[([\d,]*)\]")


def collective_bytes(hlo_text: str) -> dict[str, int]:
    """{kind: bytes} of one run of the program's entry.

    Raises:
        ValueError: a loop with collectives in it does not say how often it runs.
    """
    own: dict[str, collections.Counter] = {}
    calls: dict[str, list[tuple[str, int | None]]] = {}
    name, entry = "", ""
    for line in hlo_text.splitlines():
        if found := _COMPUTATION.match(line):
            name = found[1]
            own[name], calls[name] = collections.Counter(), []
            entry = name if line.startswith("ENTRY") else entry
        elif found := _COLLECTIVE.search(line):
            own[name][found[2]] += _bytes(found[1])
        elif found := _WHILE.search(line):
            trips = _TRIPS.search(line)
            calls[name].append((found[1], int(trips[1]) if trips else None))
        else:
            calls.get(name, []).extend((callee, 1) for callee in _CALL.findall(line))
    return dict(_total(entry, own, calls))


def _total(name, own, calls) -> collections.Counter:
    total = collections.Counter(own.get(name, ()))
    for callee, trips in calls.get(name, ()):
        inner = _total(callee, own, calls)
        if inner and trips is None:
            raise ValueError(f"the loop {callee} does not say how often it runs")
        for kind, size in inner.items():
            total[kind] += size * (trips or 0)
    return total


def _bytes(shapes: str) -> int:
    """Of an array or a tuple of arrays; layouts in braces do not match."""
    return sum(
        _ITEM_BYTES[kind] * math.prod(int(n) for n in dims.split(",") if n)
        for kind, dims in _SHAPE.findall(shapes)
        if kind in _ITEM_BYTES
    )
