# SPDX-License-Identifier: Apache-2.0
"""Reads the train state that T5X writes through Orbax: `checkpoint_<step>/state/`.

The item's `_METADATA` lists the tree; the arrays are zarr, either inside one OCDBT store or in a
folder each, under the names joined with dots. Orbax itself is not needed. Nothing is written in
this format.
"""

import json
from typing import Any

from prompt_tuning.checkpoints import paths
from prompt_tuning.checkpoints.lazy_array import LazyArray, StoredArray
from prompt_tuning.checkpoints.step_directories import ORBAX_INDEX_FILE, ORBAX_ITEM

_OCDBT_MANIFEST = "manifest.ocdbt"
# Entries of the tree that hold no array: unused optimizer states and empty subtrees.
_EMPTY_TYPES = ("None", "Dict", "List", "NamedTuple", "Tuple")


def read_leaves(directory: str) -> dict[str, LazyArray]:
    """Names joined with `/` (`target/...`, `state/step`) to lazy arrays.

    Args:
      directory: the step's folder.

    Raises:
      ValueError: the metadata are damaged.
      FileNotFoundError: an array that they list is missing.
    """
    item = paths.join(directory, ORBAX_ITEM)
    index = paths.join(item, ORBAX_INDEX_FILE)
    try:
        metadata = json.loads(paths.read_bytes(index))
        trees = list(metadata["tree_metadata"].values())
        keys = [_keys(node) for node in trees if not _is_empty(node)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{index} is not the metadata of an Orbax checkpoint ({error!r})."
        ) from error
    driver = "zarr3" if metadata.get("use_zarr3") else "zarr"
    is_ocdbt = paths.is_file(paths.join(item, _OCDBT_MANIFEST))
    return {
        "/".join(key): StoredArray.opened("/".join(key), _kvstore(item, key, is_ocdbt), driver)
        for key in keys
    }


def _keys(node: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(part["key"]) for part in node["key_metadata"])


def _is_empty(node: dict[str, Any]) -> bool:
    return node["value_metadata"]["value_type"] in _EMPTY_TYPES


def _kvstore(item: str, key: tuple[str, ...], is_ocdbt: bool) -> Any:
    name = ".".join(key)
    if is_ocdbt:
        return {"driver": "ocdbt", "base": paths.kvstore_spec(item), "path": name + "/"}
    return paths.kvstore_spec(paths.join(item, name))
