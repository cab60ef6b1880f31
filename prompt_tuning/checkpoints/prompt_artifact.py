# SPDX-License-Identifier: Apache-2.0
"""One file that is a prompt and says what it is: what `train` emits and `prompt_artifact` builds.

  README.md             the model card, for people
  metadata.json         what the prompt belongs to, `Metadata`
  prompt.safetensors    `prompt`, float32 [P, H]

in an uncompressed tar whose bytes depend on nothing but these three: no times, no owners, a fixed
order. An unpacked folder is read as well. A prompt is worth nothing on another base model, with
another vocabulary or cut to another length; `check` refuses that. Knows no model.
"""

import dataclasses
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from prompt_tuning.checkpoints import paths

CARD_FILE, METADATA_FILE, PROMPT_FILE = "README.md", "metadata.json", "prompt.safetensors"
FORMAT_VERSION = 1

_FILES = (CARD_FILE, METADATA_FILE, PROMPT_FILE)
_TENSOR = "prompt"
# A tar file has this at byte 257.
_TAR_MAGIC, _TAR_MAGIC_OFFSET = b"ustar", 257
_LARGEST = 2**30


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a prompt belongs to and where it comes from.

    Attributes:
      name: of the prompt.
      base_fingerprint: `checkpoints.fingerprint` of the frozen model's parameters.
      vocabulary_fingerprint: of `data_ops.vocabulary`.
      length: P.
      width: H.
      base_model: what people call the base model; decides nothing.
      placement: where the prompt goes: "prefix", "prefix_after_bos" or "suffix".
      task: what it was trained for.
      metrics: what it scored, and on what.
      recipe: how it was trained.
      prompt_sha256: of the values, little-endian; "" takes them as they are.
    """

    name: str
    base_fingerprint: str
    vocabulary_fingerprint: str
    length: int
    width: int
    base_model: str = ""
    placement: str = "prefix"
    task: str = ""
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    prompt_sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An opened file: the prompt float32 `[P, H]`, what it belongs to, and its card."""

    prompt: np.ndarray
    metadata: Metadata
    card: str


def is_artifact(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a tar file, or a folder with an unpacked one."""
    name = str(path)
    if not paths.is_file(name):
        return paths.is_file(paths.join(name, METADATA_FILE)) and paths.is_file(
            paths.join(name, PROMPT_FILE)
        )
    if paths.is_url(name):
        return name.endswith(".tar")
    with open(name, "rb") as file:
        file.seek(_TAR_MAGIC_OFFSET)
        return file.read(len(_TAR_MAGIC)) == _TAR_MAGIC


def write(path: str, prompt: np.ndarray, metadata: Metadata, card: str) -> None:
    """Writes an artifact; it appears under its name only when it is whole.

    Args:
      path: of the tar file; is replaced where it exists.
      prompt: float32 `[P, H]`.
      metadata: `prompt_sha256` is filled in.
      card: markdown.

    Raises:
      ValueError: the array is not float32 `[length, width]`.
    """
    values = np.ascontiguousarray(prompt)
    if values.shape != (metadata.length, metadata.width) or values.dtype != np.float32:
        raise ValueError(
            f"the prompt is {values.dtype} {list(values.shape)}; its metadata say float32 "
            f"{[metadata.length, metadata.width]}."
        )
    metadata = dataclasses.replace(metadata, prompt_sha256=_sha256(values))
    entries = {"format_version": FORMAT_VERSION} | dataclasses.asdict(metadata)
    contents = {
        CARD_FILE: card.encode(),
        METADATA_FILE: (json.dumps(entries, indent=2, sort_keys=True) + "\n").encode(),
        PROMPT_FILE: safetensors.numpy.save({_TENSOR: values}),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in _FILES:
            info = tarfile.TarInfo(name)  # Time, owner and mode are constants unless set.
            info.size = len(contents[name])
            archive.addfile(info, io.BytesIO(contents[name]))
    paths.write_bytes(path, buffer.getvalue())


def read(path: str | os.PathLike[str]) -> Artifact:
    """Opens an artifact, packed or unpacked, and checks that it is whole.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no artifact, of a later version, or damaged; names the part.
    """
    source = str(path)
    contents = _read_tar(source) if paths.is_file(source) else _read_folder(source)
    for name in (METADATA_FILE, PROMPT_FILE):
        if name not in contents:
            raise ValueError(f"{source} is no prompt artifact: it holds no {name}.")
    metadata = _metadata(contents[METADATA_FILE], source)
    try:
        tensors = safetensors.numpy.load(contents[PROMPT_FILE])
    except safetensors.SafetensorError as error:
        raise ValueError(f"{PROMPT_FILE} in {source} is damaged: {error}.") from error
    prompt = tensors.get(_TENSOR)
    expected = (metadata.length, metadata.width)
    if prompt is None or prompt.shape != expected or prompt.dtype != np.float32:
        found = f"{prompt.dtype} {list(prompt.shape)}" if prompt is not None else "nothing"
        raise ValueError(
            f"{_TENSOR} in {source} is {found}; its {METADATA_FILE} says float32 {list(expected)}."
        )
    if _sha256(prompt) != metadata.prompt_sha256:
        raise ValueError(
            f"{_TENSOR} in {source} has SHA-256 {_sha256(prompt)}, but its {METADATA_FILE} says "
            f"{metadata.prompt_sha256}; the file was changed, fetch it again."
        )
    return Artifact(prompt, metadata, contents.get(CARD_FILE, b"").decode(errors="replace"))


def check(
    metadata: Metadata,
    path: str,
    *,
    base_fingerprint: str,
    vocabulary_fingerprint: str,
    length: int | None = None,
    placement: str | None = None,
) -> None:
    """Refuses a prompt on what it was not trained for.

    Args:
      metadata: of the prompt.
      path: for the message.
      base_fingerprint: of the frozen model at hand.
      vocabulary_fingerprint: of the vocabulary at hand.
      length: P that the model asks for; None does not say.
      placement: of the model at hand; None does not say.

    Raises:
      ValueError: names what differs, both values, both fingerprints, and what to change.
    """
    base = f" ({metadata.base_model})" if metadata.base_model else ""
    fingerprints = (
        ("base model" + base, metadata.base_fingerprint, base_fingerprint, "--base_model"),
        ("vocabulary", metadata.vocabulary_fingerprint, vocabulary_fingerprint, "--vocabulary"),
    )
    settings = (
        ("length", metadata.length, length, "--prompt_length (PROMPT_LENGTH)"),
        ("placement", metadata.placement, placement, "train_prompts.Prompt.combine"),
    )
    for what, trained, found, flag in (*fingerprints, *settings):
        if found is None or trained == found:
            continue
        others = "".join(
            f"; its {name} is {theirs}, " + ("as here" if theirs == ours else f"here it is {ours}")
            for name, theirs, ours, _ in fingerprints
            if name != what
        )
        raise ValueError(
            f"the prompt in {path} was trained for the {what} {trained}, and this is {found}"
            f"{others}; change {flag}, or take the bare numbers out with //tools:convert_prompt."
        )


def _read_tar(source: str) -> dict[str, bytes]:
    contents = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(paths.read_bytes(source)), mode="r:") as archive:
            for member in archive:
                if member.name in _FILES and member.isfile() and member.size < _LARGEST:
                    file = archive.extractfile(member)
                    contents[member.name] = file.read() if file else b""
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{source} is no whole tar file: {error}.") from error
    return contents


def _read_folder(source: str) -> dict[str, bytes]:
    found = [name for name in _FILES if paths.is_file(paths.join(source, name))]
    if not found:
        raise FileNotFoundError(f"{source} is no prompt artifact.")
    return {name: paths.read_bytes(paths.join(source, name)) for name in found}


def _metadata(text: bytes, source: str) -> Metadata:
    place = f"{METADATA_FILE} in {source}"
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} is no JSON: {error}.") from error
    version = entries.pop("format_version", None) if isinstance(entries, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{place} has format_version {version!r}; this program reads {FORMAT_VERSION}."
        )
    fields = {field.name: field.type for field in dataclasses.fields(Metadata)}
    try:
        metadata = Metadata(**{name: entries[name] for name in fields if name in entries})
    except TypeError as error:
        raise ValueError(f"{place} is incomplete: {error}.") from error
    for name in ("length", "width"):
        value = getattr(metadata, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{place} has {name} {value!r}; it must be a natural number.")
    return metadata


def _sha256(values: np.ndarray) -> str:
    return hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()
