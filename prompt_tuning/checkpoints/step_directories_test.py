# SPDX-License-Identifier: Apache-2.0
"""Tests of which folder is a checkpoint, on folders that hold names only."""

import os

from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import paths, step_directories


class StepDirectoriesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = os.path.join(self.create_tempdir().full_path, "run")

    def touch(self, *names: str) -> None:
        for name in names:
            paths.write_bytes(os.path.join(self.root, name), b"")

    def test_steps_are_sorted_as_numbers(self):
        self.touch(
            "checkpoint_9/checkpoint", "checkpoint_10/checkpoint", "checkpoint_100/state/_METADATA"
        )
        self.assertEqual(step_directories.checkpoint_steps(self.root), [9, 10, 100])
        self.assertEqual(step_directories.latest_step(self.root), 100)

    def test_what_is_not_complete_is_no_step(self):
        self.touch(
            "checkpoint_1.tmp-17/checkpoint",
            "checkpoint_2/target.w/.zarray",
            "checkpoint_3.backup-1/checkpoint",
            "checkpoint_x/checkpoint",
            "checkpoint_004/checkpoint",
            "checkpoint_5",
        )
        self.assertEqual(step_directories.checkpoint_steps(self.root), [])
        self.assertIsNone(step_directories.latest_step(self.root))

    def test_no_model_directory_has_no_steps(self):
        self.assertEqual(step_directories.checkpoint_steps(self.root), [])

    @parameterized.parameters(
        ("", None, "checkpoint_20", True),
        ("", 10, "checkpoint_10", False),
        ("checkpoint_10", None, "checkpoint_10", False),
        ("checkpoint_10/checkpoint", None, "checkpoint_10", False),
        ("checkpoint_20/", None, "checkpoint_20/", True),
    )
    def test_resolve(self, path, step, folder, is_orbax):
        self.touch("checkpoint_10/checkpoint", "checkpoint_20/state/_METADATA")
        found = step_directories.resolve(os.path.join(self.root, path), step)
        self.assertEqual(
            os.path.normpath(found.directory), os.path.join(self.root, folder.strip("/"))
        )
        self.assertEqual(found.is_orbax, is_orbax)

    def test_resolve_an_index_file_in_the_working_directory(self):
        self.touch("checkpoint")
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.root)
        self.assertEqual(step_directories.resolve("checkpoint").directory, ".")

    def test_a_step_that_is_not_there(self):
        self.touch("checkpoint_10/checkpoint", "checkpoint_20/checkpoint")
        with self.assertRaisesRegex(FileNotFoundError, "no step 15; it holds the steps 10, 20"):
            step_directories.resolve(self.root, 15)

    def test_a_missing_folder_tells_the_steps_beside_it(self):
        self.touch("checkpoint_10/checkpoint", "checkpoint_20/checkpoint")
        path = os.path.join(self.root, "checkpoint_11")
        with self.assertRaisesRegex(
            FileNotFoundError, "checkpoint_11 does not exist.* steps 10, 20"
        ):
            step_directories.resolve(path)

    @parameterized.named_parameters(
        ("hugging_face", ("config.json", "model.safetensors"), "", "HuggingFace"),
        ("hugging_face_torch", ("pytorch_model.bin",), "", "HuggingFace"),
        ("orbax_item", ("state/_METADATA",), "state", "one item of an Orbax checkpoint.* above it"),
        ("tensorflow_prefix", ("model.ckpt-1.index",), "model.ckpt-1", "TensorFlow checkpoint"),
        ("tensorflow_folder", ("model.ckpt-1.index",), "", "TensorFlow checkpoints"),
        ("another_file", ("x.npy",), "x.npy", "a file, but not a checkpoint"),
    )
    def test_other_formats_are_named(self, files, path, message):
        self.touch(*files)
        with self.assertRaisesRegex(ValueError, message):
            step_directories.resolve(os.path.join(self.root, path))

    def test_an_unrelated_folder_is_described(self):
        self.touch("README.md", "data/x")
        with self.assertRaisesRegex(FileNotFoundError, "it holds README.md, data. A checkpoint is"):
            step_directories.resolve(self.root)

    def test_prune_keeps_the_newest(self):
        self.touch(*(f"checkpoint_{step}/checkpoint" for step in (9, 10, 11)))
        self.assertEqual(step_directories.prune(self.root, 2), [9])
        self.assertEqual(step_directories.checkpoint_steps(self.root), [10, 11])

    def test_prune_leaves_pinned_steps_and_counts_them(self):
        self.touch(
            *(f"checkpoint_{step}/checkpoint" for step in (1, 2, 3, 4)), "checkpoint_1/PINNED"
        )
        self.assertEqual(step_directories.prune(self.root, 2), [2])
        self.assertEqual(step_directories.checkpoint_steps(self.root), [1, 3, 4])

    def test_prune_ignores_unfinished_saves(self):
        self.touch("checkpoint_1.tmp-5/checkpoint", "checkpoint_2/checkpoint")
        self.assertEqual(step_directories.prune(self.root, 1), [])
        self.assertTrue(os.path.exists(os.path.join(self.root, "checkpoint_1.tmp-5")))

    def test_prune_none_keeps_all(self):
        self.touch("checkpoint_1/checkpoint", "checkpoint_2/checkpoint")
        self.assertEqual(step_directories.prune(self.root, None), [])

    def test_prune_refuses_to_delete_everything(self):
        with self.assertRaisesRegex(ValueError, "keep is 0; set SaveCheckpointConfig.keep"):
            step_directories.prune(self.root, 0)

    def test_prune_files_keeps_those_of_the_newest_and_of_pinned_steps(self):
        for step in (1, 2, 3, 10):
            self.touch(*(f"checkpoint_{step}/{name}" for name in ("checkpoint", "ds-0", "ds-0.x")))
        self.touch("checkpoint_2/PINNED")
        step_directories.prune_files(self.root, "ds-0", 1)
        files = {step: os.listdir(f"{self.root}/checkpoint_{step}") for step in (1, 2, 3, 10)}
        counts = {step: len(names) for step, names in files.items()}
        self.assertEqual(counts, {1: 1, 2: 4, 3: 1, 10: 3})

    @parameterized.parameters(("/a/checkpoint_12", 12), ("/a/checkpoint_12/", 12), ("/a/b", None))
    def test_step_in_name(self, directory, step):
        self.assertEqual(step_directories.step_in_name(directory), step)


if __name__ == "__main__":
    absltest.main()
