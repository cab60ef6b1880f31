# SPDX-License-Identifier: Apache-2.0
"""Writes SeqIO's offline cache of tasks, without Beam and resumable.

    bazel run //prompt_tuning/data:cache_tasks -- --tasks=taskless_glue_sst2_v200,super_glue_boolq_v102 \
        --output_cache_dir=$HOME/cache --tfds_data_dir=$HOME/tfds --vocabulary=sentencepiece.model

A run reads it with `--seqio_additional_cache_dirs=$HOME/cache --gin.USE_CACHED_TASKS=True`. The
flags are those of `seqio_cache_tasks`.
"""

import os
from collections.abc import Sequence

from absl import app, flags, logging

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.data import task_cache

_TASKS = flags.DEFINE_list("tasks", [], "Names of tasks or mixtures.")
_CACHE_DIR = flags.DEFINE_string("output_cache_dir", "", "Folder to write to.")
_MODULE = flags.DEFINE_string("module_import", None, "Module that registers further tasks.")
_VOCABULARY = flags.DEFINE_string(
    "vocabulary", None, "SentencePiece model; default: the published one of the tasks' family."
)
_EXTRA_IDS = flags.DEFINE_integer("extra_ids", 100, "Sentinels of --vocabulary.", 0)
_TFDS_DATA_DIR = flags.DEFINE_string("tfds_data_dir", None, "Folder of the TFDS datasets.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Write complete caches anew.")
_WORKERS = flags.DEFINE_integer("workers", None, "Processes; default: one per processor.", 1)


def _vocabulary() -> SentencePieceVocabulary | None:
    if _VOCABULARY.value is None:
        return None
    if not os.path.isfile(_VOCABULARY.value):
        raise FileNotFoundError(f"there is no file {_VOCABULARY.value}; set --vocabulary.")
    return SentencePieceVocabulary(os.path.abspath(_VOCABULARY.value), _EXTRA_IDS.value)


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"got {argv[1:]}; everything is given by flags.")
    logging.set_verbosity(logging.WARNING)
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    if not _TASKS.value or not _CACHE_DIR.value:
        raise app.UsageError("set --tasks and --output_cache_dir.")
    try:
        task_cache.write(
            _TASKS.value,
            os.path.abspath(_CACHE_DIR.value),
            task_cache.Settings(_MODULE.value, _vocabulary(), _TFDS_DATA_DIR.value),
            overwrite=_OVERWRITE.value,
            workers=_WORKERS.value,
        )
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    app.run(main)
