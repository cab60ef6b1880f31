# SPDX-License-Identifier: Apache-2.0
"""Logical axis names of the network's parameters, kept apart from the arrays themselves.

T5X stores such names beside every parameter and partitions by them. Here parameters are plain
arrays; whoever partitions or writes checkpoints asks for the names. Prompts bring their own.
"""

import re
from collections.abc import Iterable

# Full matches on `/`-joined parameter names; Flaxformer's axis names.
_AXES_OF = (
    (r"(decoder/)?token_embedder/embedding", ("vocab", "embed")),
    (r"(encoder|decoder)/relpos_bias/rel_embedding", ("heads", "relpos_buckets")),
    (r".*_norm/scale", ("embed",)),
    (r".*attention/(query|key|value)/kernel", ("embed", "joined_kv")),
    (r".*attention/out/kernel", ("joined_kv", "embed")),
    (r".*/mlp/wi(_\d+)?/kernel", ("embed", "mlp")),
    (r".*/mlp/wo/kernel", ("mlp", "embed")),
    (r"decoder/logits_dense/kernel", ("embed", "vocab")),
)


def logical_axes(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Maps each of `names` that belongs to the network to the names of its axes.

    Names the network does not own, such as a prompt's, are left out.

    Args:
        names: parameter names such as `encoder/layers_0/mlp/wo/kernel`, or of stacked layers
            `encoder/layers/mlp/wo/kernel`.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        axes = next((axes for pattern, axes in _AXES_OF if re.fullmatch(pattern, name)), None)
        if axes is not None:
            found[name] = ("layers", *axes) if "/layers/" in name else axes
    return found
