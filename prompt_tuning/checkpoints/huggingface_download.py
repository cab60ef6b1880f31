# SPDX-License-Identifier: Apache-2.0
"""A model of the HuggingFace hub as a local folder: the names people write where a folder goes.

Fetching is `huggingface_hub`'s work, which is imported only for it and need not be installed.
"""

import os
import re

_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
# Safetensors or, where a model has none, pickles: many have both, and either is enough.
_SMALL_FILES = ["config.json", "spiece.model", "adapter_config.json"]
_SAFETENSORS = ["*.safetensors", "*.safetensors.index.json"]
_PICKLES = ["pytorch_model*.bin", "pytorch_model.bin.index.json", "adapter_model.bin"]


def local_folder(name_or_path: str) -> str:
    """The folder itself, or the one that the hub's model of this name was fetched into.

    Raises:
      FileNotFoundError: there is no such folder, and it is no name of the hub, or the library that
        fetches it is not installed.
      OSError: it could not be fetched.
    """
    if os.path.isdir(name_or_path):
        return name_or_path
    if not _NAME.fullmatch(name_or_path):
        raise FileNotFoundError(f"{name_or_path} does not exist.")
    try:
        import huggingface_hub  # Optional, and slow to import.
    except ImportError as error:
        raise FileNotFoundError(
            f"{name_or_path} does not exist; if it is a model of the HuggingFace hub, install "
            "huggingface_hub, or download its config.json, spiece.model and *.safetensors into a "
            "folder and give that."
        ) from error
    try:
        folder = huggingface_hub.snapshot_download(
            name_or_path, allow_patterns=[*_SMALL_FILES, *_SAFETENSORS]
        )
        if not any(file.endswith(".safetensors") for file in os.listdir(folder)):
            folder = huggingface_hub.snapshot_download(
                name_or_path, allow_patterns=[*_SMALL_FILES, *_PICKLES]
            )
    except Exception as error:  # The library's own errors, of the network and of the name.
        reason = str(error).strip().partition("\n")[0]
        raise OSError(
            f"{name_or_path} does not exist, and the hub does not give it: {reason}"
        ) from error
    return folder
