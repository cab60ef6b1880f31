# SPDX-License-Identifier: Apache-2.0
"""What gin files set under the name `seqio`, as plain settings.

T5X's run files bind `seqio.Evaluator` and its loggers. The evaluation here is this project's own
and SeqIO is imported in `data` alone, so these classes hold what was set and do nothing: the run
reads their fields.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class PyLoggingLogger:
    """Write the metrics of an evaluation to the log."""


@dataclasses.dataclass(frozen=True)
class TensorBoardLogger:
    """Write the metrics of an evaluation as TensorBoard scalars."""


@dataclasses.dataclass(frozen=True)
class JSONLogger:
    """Write `inference_eval/{task}-metrics.jsonl` and the predictions.

    Attributes:
        write_n_results: how many predictions to write; None all, 0 none [JSON_WRITE_N_RESULTS].
    """

    write_n_results: int | None = None

    def __post_init__(self) -> None:
        if self.write_n_results is not None and self.write_n_results < 0:
            raise ValueError(
                f"JSONLogger.write_n_results is {self.write_n_results}; it must be None (all) or "
                "at least 0. Set JSON_WRITE_N_RESULTS."
            )


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """How evaluation by decoding is done.

    Attributes:
        logger_cls: classes of loggers; gin's bindings apply when they are called.
        num_examples: how many examples of each task; None all [EVALUATOR_NUM_EXAMPLES].
        use_memory_cache: keep the tokenised examples between evaluations
            [EVALUATOR_USE_MEMORY_CACHE].
    """

    logger_cls: Sequence[Callable[[], Any]] = (PyLoggingLogger, TensorBoardLogger, JSONLogger)
    num_examples: int | None = None
    use_memory_cache: bool = True

    def __post_init__(self) -> None:
        if self.num_examples is not None and self.num_examples < 1:
            raise ValueError(
                f"Evaluator.num_examples is {self.num_examples}; it must be None (all) or at least "
                "1. Set EVALUATOR_NUM_EXAMPLES."
            )

    def loggers(self) -> list[Any]:
        """The loggers with their settings."""
        return [make() for make in self.logger_cls]

    def options(self) -> dict[str, Any]:
        """The same as arguments of `data.evaluation.TaskEvaluator`."""
        loggers = self.loggers()
        json = [logger for logger in loggers if isinstance(logger, JSONLogger)]
        return {
            "num_examples": self.num_examples,
            "write_n_results": json[0].write_n_results if json else None,
            "write_json": bool(json),
            "write_tensorboard": any(isinstance(each, TensorBoardLogger) for each in loggers),
        }


@dataclasses.dataclass(frozen=True)
class PassThroughVocabulary:
    """Ids that are already tokens.

    Attributes:
        size: number of ids.
        eos_id: id that ends a sequence, or None.
    """

    size: int
    eos_id: int | None = None

    @property
    def vocab_size(self) -> int:
        return self.size

    def encode(self, s: Sequence[int]) -> list[int]:
        """The ids themselves."""
        return [int(token) for token in s]

    def decode(self, ids: Sequence[int]) -> list[int]:
        """The ids up to the first `eos_id`, which is kept, as SeqIO does."""
        tokens = [int(token) for token in ids]
        if self.eos_id is not None and self.eos_id in tokens:
            tokens = tokens[: tokens.index(self.eos_id) + 1]
        return tokens
