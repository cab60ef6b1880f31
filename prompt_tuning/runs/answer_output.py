# SPDX-License-Identifier: Apache-2.0
"""Where the records of an inference run go: standard output, a file, or a shard of a task.

Files are written so that an interrupted run goes on (`resumable_file`).
"""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prompt_tuning.checkpoints import paths
from prompt_tuning.inference import answers, predictor, resumable_file, writers
from prompt_tuning.runs import answer_progress, live_input, loaded_predictor

_MARK = ".COMPLETED"


@dataclasses.dataclass(frozen=True)
class AnswerOutput:
    """Rows, and what answers them; `write_*` does it and returns how many it answered.

    Attributes:
      model: the predictor.
      manner: how it answers.
      rows: read once.
      live: where the rows come from, if they are to be answered as they come.
    """

    model: predictor.Predictor
    manner: answers.Manner
    rows: Iterator[answers.InputRow]
    live: live_input.LiveInput | None = None

    def write_stdout(self) -> int:
        """Each record as soon as it is known."""
        with writers.open_jsonl(writers.STDOUT) as writer:
            return self._write(writer.write, 0, quiet=sys.stdout.isatty())

    def write_file(self, path: str, identity: Mapping[str, Any], sync_every: int) -> int:
        """A file that has its name when it is complete, or the rest of one that was begun.

        Args:
          path: of the file.
          identity: what the answers depend on; a file that was begun with another is refused.
          sync_every: records after which those before survive a loss of power.

        Raises:
          KeyboardInterrupt: with a sentence on how to go on.
          ValueError: what was begun answers other rows or has another identity.
        """
        with resumable_file.open_resumable(path, identity, sync_every) as file:
            if file.done:
                file.skip(self.rows, lambda row: row.fields)
                print(f"going on after {file.done:,} examples of {file.path}", file=sys.stderr)
            try:
                return self._write(file.write, file.done)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(
                    f"the answers so far are in {file.path}; the same command goes on there"
                ) from None

    def write_shard(self, path: str, identity: Mapping[str, Any], sync_every: int) -> int:
        """As `write_file`, with T5X's mark of a complete shard; one that has it is left alone."""
        mark = path + _MARK
        if resumable_file.is_complete(path, mark, identity):
            print(f"{path} is complete; remove {mark} to answer again", file=sys.stderr)
            return 0
        count = self.write_file(path, identity, sync_every)
        paths.write_bytes(mark, resumable_file.mark_text(identity).encode("utf-8"))
        print(f"wrote {path}", file=sys.stderr)
        return count

    def _write(
        self, write: Callable[[Mapping[str, Any]], None], first: int, quiet: bool = False
    ) -> int:
        progress = answer_progress.AnswerProgress(quiet=quiet)
        for record in self._records(first):
            write(record)
            progress.add(record)
        progress.finish()
        return progress.count

    def _records(self, first: int) -> Iterator[writers.Record]:
        if self.live is None:
            yield from answers.records(self.model, self.rows, self.manner, first)
            return
        for piece in live_input.pieces(self.rows, self.live, loaded_predictor.WINDOW):
            yield from answers.records(self.model, piece, self.manner, first)
            first += len(piece)
