# SPDX-License-Identifier: Apache-2.0
"""JSON lines whose writing may be cut off at any moment and goes on later.

    PATH.partial            a record for each row that has been answered, in order
    PATH.partial.settings   what the answers depend on, as JSON

The number of whole lines is the position in the input: nothing else has to be kept in step with it.
Who goes on gives the same rows again, and each earlier record is compared with its row, so that
answers to one input are never continued with those to another. At the end the file gets its name.
"""

import contextlib
import fcntl
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from prompt_tuning.checkpoints import paths
from prompt_tuning.inference import writers

PARTIAL = ".partial"
SETTINGS = ".settings"


class ResumableFile:
    """Where records go; see `open_resumable`.

    Attributes:
      done: How many records an earlier run has left.
    """

    def __init__(self, path: str, stream: BinaryIO, done: int, sync_every: int):
        self.path, self.done = path, done
        self._stream, self._sync_every = stream, sync_every
        self._written = 0

    def skip(self, rows: Iterator[Any], inputs: Callable[[Any], Mapping[str, Any]]) -> None:
        """Takes the rows that are answered already from an iterator.

        Args:
          rows: From the first one on.
          inputs: What the record of a row has as its `inputs`.

        Raises:
          ValueError: A record answers another row than the one in its place.
        """
        with open(self.path, "rb") as earlier:
            for number, line in enumerate(itertools.islice(earlier, self.done), start=1):
                row = next(rows, None)
                if row is None or json.loads(line).get("inputs") != dict(inputs(row)):
                    raise ValueError(
                        f"{self.path}:{number} answers another row than the input has in that "
                        "place, so the input has changed since; remove the file to begin anew."
                    )

    def write(self, record: Mapping[str, Any]) -> None:
        """Adds one record; every so many, and at the end, they are made to last."""
        self._stream.write(writers.encode(record))
        self._written += 1
        if self._written % self._sync_every == 0:
            self.sync()

    def sync(self) -> None:
        """Returns when the records are on the disk."""
        self._stream.flush()
        os.fsync(self._stream.fileno())


@contextlib.contextmanager
def open_resumable(
    path: str, settings: Mapping[str, Any], sync_every: int = 1024
) -> Iterator[ResumableFile]:
    """Opens `path` for the records of one run, or for the rest of them.

    The block that ends without an error gives the file its name. One that does not leaves the
    records that there are, for the next time; without any record it leaves nothing.

    Args:
      path: Of the file when it is complete. Missing folders are made.
      settings: JSON of what the answers depend on besides the rows.
      sync_every: Records after which a cut of power loses none of the earlier ones.

    Raises:
      ValueError: An earlier run had other settings, or one is writing the same file now.
    """
    partial = path + PARTIAL
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(partial, "ab+") as stream:
        _lock(stream)
        _check_settings(stream, settings)
        done = _cut_to_whole_lines(stream)
        file = ResumableFile(partial, stream, done, sync_every)
        try:
            yield file
            file.sync()
        except BaseException:
            with contextlib.suppress(OSError):
                stream.flush()
                if not stream.tell():
                    _remove(partial)
            raise
        os.replace(partial, path)  # Still locked: nobody goes on with a complete file.
        with contextlib.suppress(FileNotFoundError):
            os.remove(partial + SETTINGS)


def _lock(stream: BinaryIO) -> None:
    """Keeps others from writing the same records while the stream is open."""
    taken = False
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        taken = True
    except OSError:
        pass  # A file system without locks: two runs at once are the user's care.
    # Another run may have ended since the stream was opened: then it is of what that one made.
    if taken or not _is_at(stream, stream.name):
        raise ValueError(
            f"{stream.name} is being written by another run; wait for its end, or name another file."
        )


def _is_at(stream: BinaryIO, path: str) -> bool:
    """Whether the file that is open is the one with this name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _check_settings(stream: BinaryIO, settings: Mapping[str, Any]) -> None:
    partial = stream.name
    text = json.dumps(settings, sort_keys=True, indent=1)
    if os.path.getsize(partial) and os.path.exists(partial + SETTINGS):
        with open(partial + SETTINGS, encoding="utf-8") as file:
            earlier = file.read()
        if earlier != text:
            raise ValueError(
                f"{partial} was begun with other settings ({_difference(earlier, settings)}); "
                "give those again to go on, or remove the file to begin anew."
            )
        return
    stream.truncate(0)
    paths.write_bytes(partial + SETTINGS, text.encode("utf-8"))


def _difference(earlier: str, settings: Mapping[str, Any]) -> str:
    """The first setting that differs, in words."""
    before, now = json.loads(earlier), json.loads(json.dumps(settings))
    name = next(n for n in sorted({*before, *now}) if before.get(n) != now.get(n))
    return f"{name} was {before.get(name)!r} and is {now.get(name)!r}"


def _cut_to_whole_lines(stream: BinaryIO) -> int:
    """Drops a last line that was cut off; returns the number of lines."""
    stream.seek(0)
    lines = end = 0
    for line in stream:
        if line.endswith(b"\n"):
            lines, end = lines + 1, end + len(line)
    stream.truncate(end)
    stream.seek(end)
    return lines


def _remove(partial: str) -> None:
    for path in (partial, partial + SETTINGS):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def is_complete(path: str, mark: str, settings: Mapping[str, Any]) -> bool:
    """Whether `path` is there and its `mark` says that it was made with these settings."""
    try:
        with open(mark, encoding="utf-8") as stream:
            return os.path.exists(path) and stream.read() == mark_text(settings)
    except FileNotFoundError:
        return False


def mark_text(settings: Mapping[str, Any]) -> str:
    """What a mark holds."""
    return json.dumps(settings, sort_keys=True) + "\n"
