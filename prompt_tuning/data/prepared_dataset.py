# SPDX-License-Identifier: Apache-2.0
"""A TFDS dataset as the source of a task: it must be on disk, and is never downloaded by a run."""

import re
from collections.abc import Mapping, Sequence

import seqio
import tensorflow as tf
import tensorflow_datasets as tfds

from prompt_tuning.data import local_dataset, offline_tfds, tfds_recipe

COMMAND = "tools/bazel run //prompt_tuning/data:make_tfds --"


class PreparedDataset(seqio.TfdsDataSource):
    """A dataset that is prepared; where it is not, says how to get it there."""

    def __init__(self, name: str, splits: Sequence[str] | Mapping[str, str] | None, task: str = ""):
        """Opens nothing yet.

        Args:
          name: TFDS's, with config and version.
          splits: names, or {name: TFDS split or slice}; None: all of the dataset.
          task: named in errors.
        """
        self._name, self._task = name, task
        self._mapped = splits if isinstance(splits, Mapping) else {}
        super().__init__(tfds_name=name, splits=splits)

    @property
    def splits(self):
        """Names of the splits.

        Raises:
          FileNotFoundError: the dataset is not on disk; says how to get it there.
        """
        if not self._splits:
            self._check()
        return super().splits

    def get_dataset(self, split: str | None = None, *args, **kwargs) -> tf.data.Dataset:
        """As SeqIO's; errors as `list_shards`."""
        self._check(split)
        return super().get_dataset(split, *args, **kwargs)

    def list_shards(self, split: str) -> Sequence[str]:
        """The files of a split.

        Raises:
          FileNotFoundError: as `splits`.
          ValueError: the dataset on disk lacks the split.
        """
        self._check(split)
        return super().list_shards(split)

    def _check(self, split: str | None = None) -> None:
        try:
            there = self.tfds_dataset.info.splits
        except (AssertionError, tfds.core.DatasetNotFoundError):
            there = None  # TFDS cannot make this version any more, and there is none on disk.
        folder = self.tfds_dataset.data_dir or tfds.core.constants.DATA_DIR
        whose = f", which the task {self._task!r} reads," if self._task else ""
        if not there:
            raise FileNotFoundError(
                f"the dataset {self._name}{whose} is not prepared in {folder}; set "
                f"--tfds_data_dir to a folder that has it, or get it: {self._remedy(folder)}."
            )
        if split is None:
            return
        wanted = str(self._mapped.get(split, split))
        names = [part.strip() for part in re.sub(r"\[[^]]*\]", "", wanted).split("+")]
        if missing := [name for name in names if name not in there]:
            raise ValueError(
                f"the dataset {self._name}{whose} has no split {missing[0]!r} in {folder}; it has "
                f"{', '.join(there)}: choose another split, or remove the dataset's folder there "
                f"and make it with all of its splits: {self._remedy(folder)}."
            )
        try:
            count = there[wanted].num_examples
        except ValueError:  # The slice cuts off more than there is.
            count = 0
        if not count:  # SeqIO would end the process over it.
            raise ValueError(
                f"the dataset {self._name}{whose} has no example in {wanted!r} in {folder}; choose "
                "another split, or make the dataset with more rows."
            )

    def _remedy(self, folder: str) -> str:
        path, _, version = self._name.partition(":")
        ways, end = [], f"--datasets={self._name} --data_dir={folder}`"
        if path.split("/")[0] in offline_tfds.VERSIONS:
            ways.append(f"`{COMMAND} --source=FOLDER {end} from the files as published")
        if path.split("/")[0] in local_dataset.TEXTS:
            ways.append(f"`{COMMAND} --files=train=FILE {end} from JSON Lines or another table")
        if version in tfds_recipe.versions(self._name):
            ways.append(f"where there is a network `{COMMAND} --download {end}")
        if not ways:
            ways.append("copy its folder from where an older TFDS prepared it")
        return ", or ".join(ways)
