# SPDX-License-Identifier: Apache-2.0
"""T5X's `DatasetConfig`: which examples of which task, in which batches.

`FileTask` is what it points to when the examples come from the user's own files. Settings only;
`data` turns them into batches.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

# The task name that stands for the files of `FileTask`.
FILE_TASK_NAME = "file_task"


@dataclasses.dataclass(frozen=True)
class FileTask:
    """A classification or text-to-text task in TSV, CSV, JSONL, Parquet or Arrow files.

    Without any file it says how other texts are read, such as those of an inference run.

    Attributes:
        train_file: rows for training, or None [TRAIN_FILE].
        validation_file: rows for validation, or None [VALIDATION_FILE].
        test_file: rows for the test split, or None [TEST_FILE].
        text_columns: names or numbers of the columns with text; empty takes the fields of the
            template, or else the one column that is not the label [TEXT_COLUMNS].
        label_column: name or number of the column with the target [LABEL_COLUMN].
        label_words: accepted labels in order; empty takes the target as text [LABEL_WORDS].
        input_template: `str.format` template over the columns, or None [INPUT_TEMPLATE].
        add_inputs_eos: end the inputs with EOS, as T5's tasks do [INPUTS_EOS].
        label_scores_per_token: compare labels by their log-likelihood divided by their number of
            tokens, instead of the whole [LABEL_SCORES_PER_TOKEN].
        skip_bad_rows: count rows that cannot be used and go on, instead of stopping
            [SKIP_BAD_ROWS].
    """

    train_file: str | None = None
    validation_file: str | None = None
    test_file: str | None = None
    text_columns: Sequence[str | int] = ()
    label_column: str | int | None = "label"
    label_words: Sequence[str] = ()
    input_template: str | None = None
    add_inputs_eos: bool = True
    skip_bad_rows: bool = False
    label_scores_per_token: bool = False

    def __post_init__(self) -> None:
        for field, macro in (("text_columns", "TEXT_COLUMNS"), ("label_words", "LABEL_WORDS")):
            value = getattr(self, field)
            if isinstance(value, str):
                raise ValueError(
                    f"FileTask.{field} is the text {value!r}; it must be a list. Set {macro}."
                )
            object.__setattr__(self, field, tuple(value or ()))

    @property
    def files(self) -> dict[str, str | None]:
        """`{split: file}` for train, validation and test."""
        return {
            "train": self.train_file,
            "validation": self.validation_file,
            "test": self.test_file,
        }


@dataclasses.dataclass(frozen=True)
class DatasetConfig:
    """One split of a task or mixture, and how it is batched. Field names are T5X's.

    Attributes:
        mixture_or_task_name: registered in SeqIO [MIXTURE_OR_TASK_NAME].
        task_feature_lengths: `{"inputs": T, "targets": L}` in tokens; None measures the data
            [TASK_FEATURE_LENGTHS].
        split: of the task.
        batch_size: B [BATCH_SIZE].
        shuffle: order of the examples.
        seed: of the order; None takes the clock.
        use_cached: read SeqIO's cache of the task [USE_CACHED_TASKS].
        pack: must be False: a prompt belongs to one example.
        use_custom_packing_ops: must be False.
        module: imported before the task is looked up [MIXTURE_OR_TASK_MODULE].
        use_memory_cache: keep examples in memory between evaluations.
        trim_output_features: cut features to their lengths; True.
        runtime_preprocessors: not supported.
        num_prefetch_threads: without effect; batches are prefetched by the pipeline.
        num_workers: must be 0.
        file_task: the user's files, for the task "file_task", and how their rows become text
            [FILE_TASK].
    """

    mixture_or_task_name: str
    task_feature_lengths: Mapping[str, int] | None
    split: str
    batch_size: int
    shuffle: bool
    seed: int | None
    use_cached: bool = False
    pack: bool = False
    use_custom_packing_ops: bool = False
    module: str | None = None
    use_memory_cache: bool = True
    trim_output_features: bool = True
    runtime_preprocessors: Any = None
    num_prefetch_threads: int | None = None
    num_workers: int = 0
    file_task: FileTask | None = None

    def __post_init__(self) -> None:
        if not self.mixture_or_task_name or not isinstance(self.mixture_or_task_name, str):
            raise ValueError(
                f"DatasetConfig.mixture_or_task_name is {self.mixture_or_task_name!r}; it must be "
                "the name of a task. Set --task or MIXTURE_OR_TASK_NAME."
            )
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ValueError(
                f"DatasetConfig.batch_size is {self.batch_size!r}; it must be at least 1. "
                "Set --batch_size or BATCH_SIZE."
            )
        if not isinstance(self.split, str) or not self.split:
            raise ValueError(
                f"DatasetConfig.split is {self.split!r}; it must be the name of a split."
            )
        self._check_lengths()
        self._check_unsupported()
        files = self.file_task.files if self.file_task else {}
        if self.mixture_or_task_name == FILE_TASK_NAME and not any(files.values()):
            raise ValueError(
                f"the task {FILE_TASK_NAME!r} has no file; set --train_file, --validation_file or "
                "--test_file (TRAIN_FILE, VALIDATION_FILE, TEST_FILE)."
            )

    def _check_lengths(self) -> None:
        lengths = self.task_feature_lengths
        if lengths is None:
            return
        good = isinstance(lengths, Mapping) and {"inputs", "targets"} <= set(lengths)
        if not good or not all(isinstance(n, int) and n > 0 for n in lengths.values()):
            raise ValueError(
                f"DatasetConfig.task_feature_lengths is {lengths!r}; it must be like "
                "{'inputs': 512, 'targets': 8}. Set --inputs_length and --targets_length or "
                "TASK_FEATURE_LENGTHS."
            )

    def _check_unsupported(self) -> None:
        for field, accepted, reason in (
            ("pack", False, "a prompt belongs to one example, so examples are not packed"),
            ("use_custom_packing_ops", False, "examples are not packed"),
            ("trim_output_features", True, "features are always cut to their lengths"),
            ("runtime_preprocessors", None, "use the task's preprocessors"),
            ("num_workers", 0, "the pipeline has threads, not workers"),
        ):
            value = getattr(self, field)
            if value != accepted:
                raise ValueError(
                    f"DatasetConfig.{field} is {value!r}, and only {accepted!r} is supported: "
                    f"{reason}. Set utils.DatasetConfig.{field} = {accepted!r}."
                )
