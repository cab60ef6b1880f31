# SPDX-License-Identifier: Apache-2.0
"""Tests of T5X's restore modes."""

import os

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.config import checkpoint_config
from prompt_tuning.runs import restore_paths


class RestorePathsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        for folder, steps in (("a", (9, 10, 2)), ("b", (5,))):
            for step in steps:
                t5x_format.write_checkpoint(self.at(folder), step, {"x": np.zeros(1)})
        os.makedirs(self.at("a", "checkpoint_11.tmp-1"))
        os.makedirs(self.at("empty"))

    def at(self, *names: str) -> str:
        return os.path.join(self.root, *names)

    def found(self, path, mode: str) -> list[str]:
        config = checkpoint_config.RestoreCheckpointConfig(path, mode=mode)
        return [os.path.relpath(p, self.root) for p in restore_paths.restore_paths(config)]

    def test_latest(self):
        self.assertEqual(self.found(self.at("a"), "latest"), ["a/checkpoint_10"])

    def test_all_by_number_and_without_what_is_not_finished(self):
        steps = ["a/checkpoint_2", "a/checkpoint_9", "a/checkpoint_10"]
        self.assertEqual(self.found(self.at("a"), "all"), steps)

    def test_several_folders(self):
        both = [self.at("b"), self.at("a")]
        self.assertEqual(self.found(both, "latest"), ["b/checkpoint_5", "a/checkpoint_10"])
        self.assertLen(self.found(both, "all"), 4)

    def test_specific_is_as_it_was_written(self):
        self.assertEqual(self.found(self.at("a", "checkpoint_9"), "specific"), ["a/checkpoint_9"])
        pair = [self.at("b", "checkpoint_5"), self.at("a", "checkpoint_2")]
        self.assertEqual(self.found(pair, "specific"), ["b/checkpoint_5", "a/checkpoint_2"])

    @parameterized.product(folder=("empty", "nowhere", "a/checkpoint_9"), mode=("latest", "all"))
    def test_a_folder_without_checkpoints(self, folder, mode):
        with self.assertRaisesRegex(FileNotFoundError, f"{folder} is not .*mode = '{mode}'"):
            self.found(self.at(folder), mode)

    def test_a_run_starts_from_one(self):
        config = checkpoint_config.RestoreCheckpointConfig(self.at("b"), mode="all")
        self.assertEndsWith(restore_paths.single_restore_path(config), "b/checkpoint_5")
        config = checkpoint_config.RestoreCheckpointConfig(self.at("a"), mode="all")
        with self.assertRaisesRegex(ValueError, "3 checkpoints, .*checkpoint_2 to .*'latest'"):
            restore_paths.single_restore_path(config)


if __name__ == "__main__":
    absltest.main()
