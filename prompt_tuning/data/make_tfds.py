# SPDX-License-Identifier: Apache-2.0
"""Makes TFDS datasets of GLUE and SuperGLUE from local files, for `--tfds_data_dir` of a run.

    bazel run //prompt_tuning/data:make_tfds -- --source=$PWD/glue_data --data_dir=$HOME/tfds
    bazel run //prompt_tuning/data:make_tfds -- --datasets=glue/sst2:2.0.0 \
        --files=train=$PWD/train.tsv,validation=$PWD/dev.tsv --data_dir=$HOME/tfds

The first makes whatever it finds in the layout of the benchmarks (`SST-2/train.tsv`,
`BoolQ/train.jsonl`), the second one dataset from files anywhere.
"""

import os
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds
from absl import app, flags, logging

from prompt_tuning.data import offline_tfds

_SOURCE = flags.DEFINE_string("source", None, "Folder with GLUE or SuperGLUE as published.")
_DATASETS = flags.DEFINE_list(
    "datasets", [], "Which, like glue/sst2 or super_glue/boolq:1.0.2; default: all that are found."
)
_FILES = flags.DEFINE_list("files", [], "split=path, ... of the one dataset of --datasets.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "TFDS folder to write to.")


def wanted(
    names: Sequence[str], source: str | None, files: Sequence[str]
) -> Iterator[tuple[offline_tfds.Dataset, dict[str, str]]]:
    """What to make, and from which files {split: path}.

    Raises:
      ValueError: the flags do not fit each other, or nothing is found.
    """
    if bool(source) == bool(files):
        raise ValueError("set either --source, a folder, or --files, the files of one dataset.")
    if files and len(names) != 1:
        raise ValueError(f"--files are those of one dataset; --datasets has {len(names)}.")
    if files:
        splits = dict(file.partition("=")[::2] for file in files)
        if not all(splits.values()):
            raise ValueError(f"--files has {','.join(files)!r}; an entry is like train=PATH.")
        yield from ((dataset, splits) for dataset in offline_tfds.parse(names[0]))
        return
    if not source or not os.path.isdir(source):
        raise FileNotFoundError(f"there is no folder {source}; set --source.")
    found = False
    everything = [f"{b}/{c}" for b in offline_tfds.VERSIONS for c in offline_tfds.configs(b)]
    for name in names or everything:
        for dataset in offline_tfds.parse(name):
            paths = offline_tfds.find_files(dataset, source)
            if paths:
                found = True
                yield dataset, paths
            elif names:
                raise FileNotFoundError(f"there are no files of {dataset} below {source}.")
    if not found:
        raise FileNotFoundError(
            f"there is neither GLUE nor SuperGLUE below {source}, such as SST-2/train.tsv or "
            "BoolQ/train.jsonl; set --source, or --datasets and --files."
        )


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"got {argv[1:]}; everything is given by flags.")
    if not _DATA_DIR.value:
        raise app.UsageError("--data_dir is not set; give the TFDS folder to write to.")
    # One line for each dataset says it all.
    logging.set_verbosity(logging.WARNING)
    tfds.disable_progress_bar()
    data_dir = os.path.expanduser(_DATA_DIR.value)
    for dataset, files in wanted(_DATASETS.value, _SOURCE.value, _FILES.value):
        folder = offline_tfds.make(dataset, files, data_dir)
        print(f"{dataset}: {', '.join(files)} -> {folder}")


if __name__ == "__main__":
    app.run(main)
