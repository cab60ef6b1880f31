# SPDX-License-Identifier: Apache-2.0
"""Makes TFDS datasets for `--tfds_data_dir` of a run: from local files, or from the network.

    bazel run //prompt_tuning/data:make_tfds -- --source=$PWD/glue_data --data_dir=$HOME/tfds
    bazel run //prompt_tuning/data:make_tfds -- --datasets=glue/sst2:2.0.0 \
        --files=train=$PWD/train.tsv,validation=$PWD/dev.tsv --data_dir=$HOME/tfds
    bazel run //prompt_tuning/data:make_tfds -- --download --datasets=squad/v1.1:3.0.0,xsum:1.1.0 \
        --data_dir=$HOME/tfds

The first makes GLUE and SuperGLUE, whatever it finds in the layout of the benchmarks
(`SST-2/train.tsv`, `BoolQ/train.jsonl`), the second one dataset from files anywhere whose columns
are its features: of GLUE and SuperGLUE, or any other of TFDS (C4 2.2.0 from JSON Lines with `text`).
The third lets TFDS download and prepare any of its datasets, where there is a network.
"""

import os
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds
from absl import app, flags, logging

from prompt_tuning.data import local_dataset, offline_tfds, tfds_recipe

_SOURCE = flags.DEFINE_string("source", None, "Folder with GLUE or SuperGLUE as published.")
_DATASETS = flags.DEFINE_list(
    "datasets", [], "Which, like glue/sst2 or super_glue/boolq:1.0.2; default: all that are found."
)
_FILES = flags.DEFINE_list("files", [], "split=path, ... of the one dataset of --datasets.")
_DOWNLOAD = flags.DEFINE_bool("download", False, "Let TFDS download the datasets of --datasets.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "TFDS folder to write to.")


def split_files(names: Sequence[str], files: Sequence[str]) -> dict[str, str]:
    """{split: path} of --files; ValueError where it is not that of one dataset."""
    if len(names) != 1:
        raise ValueError(f"--files are those of one dataset; --datasets has {len(names)}.")
    splits = dict(file.partition("=")[::2] for file in files)
    if not all(splits.values()):
        raise ValueError(f"--files has {','.join(files)!r}; an entry is like train=PATH.")
    return splits


def is_benchmark(name: str) -> bool:
    """Whether a dataset is of GLUE or SuperGLUE, whose files may have the benchmark's layout."""
    return name.partition(":")[0].partition("/")[0] in offline_tfds.VERSIONS


def wanted(
    names: Sequence[str], source: str | None, files: Sequence[str]
) -> Iterator[tuple[offline_tfds.Dataset, dict[str, str]]]:
    """What to make, and from which files {split: path}.

    Raises:
      ValueError: the flags do not fit each other, or nothing is found.
    """
    if bool(source) == bool(files):
        raise ValueError("set either --source, a folder, or --files, the files of one dataset.")
    if files:
        splits = split_files(names, files)
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


def download(names: Sequence[str], data_dir: str) -> Iterator[tuple[str, str]]:
    """Downloads datasets one after the other; (name, folder) of each that is there now.

    Raises:
      ValueError, OSError: as `tfds_recipe.download`; or there is no name.
    """
    if not names:
        raise ValueError("--download needs --datasets, such as --datasets=squad/v1.1:3.0.0.")
    for name in names:
        yield name, tfds_recipe.download(name, data_dir)


def made(data_dir: str) -> Iterator[str]:
    """Does what the flags say; a line for each dataset that is there now."""
    if not _DOWNLOAD.value:
        tfds.disable_progress_bar()
        names, files = _DATASETS.value, _FILES.value
        if files and not _SOURCE.value and not all(map(is_benchmark, names)):
            splits = split_files(names, files)
            yield f"{names[0]}: {', '.join(splits)} -> {local_dataset.make(names[0], splits, data_dir)}"
            return
        for dataset, splits in wanted(names, _SOURCE.value, files):
            folder = offline_tfds.folder_of(dataset, data_dir)
            if not names and os.path.exists(folder):  # So the same call adds what is new.
                yield f"{dataset}: was in {folder} before, and stays as it is"
                continue
            yield f"{dataset}: {', '.join(splits)} -> {offline_tfds.make(dataset, splits, data_dir)}"
        return
    if _SOURCE.value or _FILES.value:
        raise ValueError("--download needs no local files; leave out --source and --files.")
    for name, folder in download(_DATASETS.value, data_dir):
        yield f"{name} -> {folder}"


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"got {argv[1:]}; everything is given by flags.")
    if not _DATA_DIR.value:
        raise app.UsageError("--data_dir is not set; give the TFDS folder to write to.")
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    # One line for each dataset says it all.
    logging.set_verbosity(logging.WARNING)
    try:
        for line in made(os.path.abspath(os.path.expanduser(_DATA_DIR.value))):
            print(line)
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    app.run(main)
