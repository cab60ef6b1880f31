# SPDX-License-Identifier: Apache-2.0
"""Standard input as lines that are answered when they come, and not only when the input ends.

A pipe that is filled faster than rows are answered gives full batches; a person who types gets an
answer to each line.
"""

import contextlib
import io
import os
import select
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

_BLOCK = 1 << 16


class LiveInput:
    """Lines of a binary stream, and whether the next one is there yet."""

    def __init__(self, stream: BinaryIO, patience_s: float = 0.02):
        """Reads from the stream's file descriptor, or from a stream in memory as it is.

        Args:
          stream: Nobody else reads from it.
          patience_s: How long `would_wait` waits for more.
        """
        self._buffer, self._ended, self._patience_s = bytearray(), False, patience_s
        self._stream = stream
        self._descriptor: int | None = None
        with contextlib.suppress(AttributeError, io.UnsupportedOperation):
            self._descriptor = stream.fileno()

    def readline(self, limit: int = -1) -> bytes:
        """The next line with its end, or its first `limit` bytes; b"" at the end."""
        scanned = 0
        while True:
            end = self._buffer.find(b"\n", scanned) + 1
            if end or self._ended or 0 < limit <= len(self._buffer):
                break
            scanned = len(self._buffer)
            self._read()
        end = end or len(self._buffer)
        end = min(end, limit) if limit > 0 else end
        line = bytes(self._buffer[:end])
        del self._buffer[:end]
        return line

    def peek_line(self, limit: int = -1) -> bytes:
        """What `readline` will give next, or b"" at the end; waits for it."""
        line = self.readline(limit)
        self._buffer[:0] = line
        return line

    def would_wait(self) -> bool:
        """Whether `readline` would have to wait for whoever writes."""
        if self._descriptor is None or self._ended or b"\n" in self._buffer:
            return False
        return not select.select([self._descriptor], [], [], self._patience_s)[0]

    def _read(self) -> None:
        if self._descriptor is None:
            data = self._stream.read(_BLOCK)
        else:
            data = os.read(self._descriptor, _BLOCK)
        self._ended = not data
        self._buffer += data


def pieces(rows: Iterable[Any], live: LiveInput, size: int) -> Iterator[list[Any]]:
    """Cuts rows that are made from live lines into lists, each as long as nobody has to wait.

    Args:
      rows: Reads from `live`.
      live: The lines.
      size: The most rows of a list.
    """
    piece: list[Any] = []
    for row in rows:
        piece.append(row)
        if len(piece) == size or live.would_wait():
            yield piece
            piece = []
    if piece:
        yield piece
