# SPDX-License-Identifier: Apache-2.0
"""Requests of many threads, answered together: a batch costs little more than one row.

Knows threads and time, not what an answer is.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

_Entry = tuple[Any, futures.Future]


class RequestBatcher:
    """Collects rows until there are enough of them or the first has waited long enough.

    While a batch is being answered the next one gathers, so under load batches fill up by
    themselves and nobody waits for the clock.

        with RequestBatcher(predictor.predict) as batcher:
            answer = batcher.submit("a fine film .").result()
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Any]], Sequence[Any]],
        batch_size: int = 32,
        max_wait_s: float = 0.005,
    ):
        """Starts the thread that answers.

        Args:
          answer: One result for each row, in order, such as `Predictor.predict`. If it raises,
            every row of the batch gets the exception: a predictor with `report_bad_rows` answers
            the good ones.
          batch_size: As many rows as one call gets at most.
          max_wait_s: Seconds that a row waits for others at most, once the thread is free.

        Raises:
          ValueError: A number is out of its range.
        """
        if batch_size < 1 or max_wait_s < 0:
            raise ValueError(
                f"batch_size is {batch_size} and max_wait_s {max_wait_s}; "
                "accepted are at least 1 and at least 0"
            )
        self._answer, self._batch_size, self._max_wait_s = answer, batch_size, max_wait_s
        self._waiting: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="request-batcher", daemon=True)
        self._thread.start()

    def submit(self, row: Any) -> futures.Future:
        """Hands in one row; the future holds its answer. Cancelling it before its turn works.

        Raises:
          RuntimeError: The batcher is closed.
        """
        future: futures.Future = futures.Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the batcher is closed; it takes no more requests")
            self._waiting.put((row, future))
        return future

    def close(self) -> None:
        """Answers what was handed in, then ends the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def __enter__(self) -> "RequestBatcher":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._gather()
            batch = [entry for entry in batch if entry[1].set_running_or_notify_cancel()]
            if batch:
                self._settle(batch)

    def _gather(self) -> tuple[list[_Entry], bool]:
        """The next batch, and whether more may come."""
        entry = self._waiting.get()
        batch: list[_Entry] = []
        deadline = time.monotonic() + self._max_wait_s
        while entry is not None:
            batch.append(entry)
            if len(batch) == self._batch_size:
                return batch, True
            try:
                entry = self._waiting.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return batch, True
        return batch, False

    def _settle(self, batch: list[_Entry]) -> None:
        try:
            answers = list(self._answer([row for row, _ in batch]))
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} rows got {len(answers)} answers")
        except Exception as error:  # Whoever waits for a result must hear of it.
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)
