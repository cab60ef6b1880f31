# SPDX-License-Identifier: Apache-2.0
"""Files and folders that may be local or on an object store.

A local path goes through `os`. A URL such as `gs://bucket/folder` goes through tensorstore's
key-value stores, so that no second storage library is needed. Knows nothing of checkpoints.
"""

import os
import shutil
from typing import Any

import tensorstore as ts

# One context for the process: connections and caches are shared, and `memory://` (used by tests)
# names the same store in every call.
_CONTEXT = ts.Context()


def is_url(path: str) -> bool:
    """Whether `path` names an object store (`gs://...`) and not a local file."""
    return "://" in path


def join(path: str, *names: str) -> str:
    """`path` with `names` below it."""
    return "/".join([path.rstrip("/"), *names]) if is_url(path) else os.path.join(path, *names)


def parent(path: str) -> str:
    """The folder that holds `path`."""
    return path.rstrip("/").rpartition("/")[0] if is_url(path) else os.path.dirname(path)


def kvstore_spec(directory: str) -> Any:
    """The tensorstore key-value store for a folder, as JSON; keys are relative to the folder."""
    if is_url(directory):
        return directory.rstrip("/") + "/"
    return {"driver": "file", "path": os.path.abspath(directory) + "/"}


def open_array(spec: dict[str, Any], **options: Any) -> ts.TensorStore:
    """`tensorstore.open` in the context of this module, waited for."""
    return ts.open(spec, context=_CONTEXT, **options).result()


def open_store(directory: str) -> ts.KvStore:
    """The key-value store of a folder.

    Raises:
      OSError: the URL or the store it names cannot be opened.
    """
    try:
        future = ts.KvStore.open(kvstore_spec(directory), context=_CONTEXT)
    except ValueError as error:
        raise OSError(f"{directory} is not a usable URL: {first_sentence(error)}") from error
    return _wait(future, directory)


def read_bytes(path: str) -> bytes:
    """The content of one file.

    Raises:
      FileNotFoundError: there is no such file.
      OSError: the store refused or could not be reached.
    """
    if not is_url(path):
        with open(path, "rb") as file:
            return file.read()
    result = _wait(open_store(parent(path)).read(_name(path)), path)
    if result.state != "value":
        raise FileNotFoundError(f"{path} does not exist.")
    return result.value


def write_bytes(path: str, data: bytes) -> None:
    """Writes one file so that a reader sees all of it or nothing; makes its folder."""
    if is_url(path):
        _wait(open_store(parent(path)).write(_name(path), data), path)
        return
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    temporary = f"{path}.tmp-{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def is_file(path: str) -> bool:
    """Whether `path` is a file."""
    if not is_url(path):
        return os.path.isfile(path)
    name = _name(path)
    return name.encode() in _wait(open_store(parent(path)).list(_range(name)), path)


def is_directory(path: str) -> bool:
    """Whether `path` is a folder; on an object store, whether anything lies below it."""
    return bool(list_names(path)) if is_url(path) else os.path.isdir(path)


def exists(path: str) -> bool:
    """Whether `path` is a file or a folder."""
    return is_file(path) or is_directory(path)


def list_names(directory: str) -> list[str]:
    """Sorted names of what lies directly in a folder; empty where there is no such folder."""
    if is_url(directory):
        keys = _wait(open_store(directory).list(), directory)
        return sorted({key.decode().split("/")[0] for key in keys})
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def move_directory(source: str, destination: str) -> None:
    """Renames a folder; on an object store, which has no rename, copies it and deletes the source.

    Raises:
      FileExistsError: `destination` exists.
    """
    if exists(destination):
        raise FileExistsError(f"{destination} exists; {source} cannot be renamed to it.")
    if not is_url(source):
        os.rename(source, destination)
        return
    old, new = open_store(source), open_store(destination)
    for key in _wait(old.list(), source):
        _wait(new.write(key, _wait(old.read(key), source).value), destination)
    remove_directory(source)


def remove_file(path: str) -> None:
    """Deletes one file; nothing happens where there is none."""
    if is_url(path):
        _wait(open_store(parent(path)).delete_range(_range(_name(path))), path)
    elif os.path.isfile(path):
        os.remove(path)


def remove_directory(directory: str) -> None:
    """Deletes a folder and what it holds; nothing happens where there is none."""
    if is_url(directory):
        store = open_store(directory)
        _wait(store.delete_range(ts.KvStore.KeyRange()), directory)
    else:
        shutil.rmtree(directory, ignore_errors=True)


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _range(prefix: str) -> ts.KvStore.KeyRange:
    return ts.KvStore.KeyRange(prefix, prefix + "\0")


def _wait(future: ts.Future, path: str) -> Any:
    """The future's result; tensorstore's errors become an OSError that names the path."""
    try:
        return future.result()
    except ValueError as error:
        raise OSError(f"{path} cannot be reached: {first_sentence(error)}") from error


def first_sentence(error: BaseException) -> str:
    """The readable part of a tensorstore error, without the JSON specifications behind it."""
    return str(error).split(" [")[0]
