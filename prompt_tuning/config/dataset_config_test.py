# SPDX-License-Identifier: Apache-2.0
"""Tests of T5X's data settings and of the settings of the user's own files."""

import dataclasses

from absl.testing import absltest, parameterized

from prompt_tuning.config import dataset_config as config

_GOOD = {
    "mixture_or_task_name": "task",
    "task_feature_lengths": {"inputs": 8, "targets": 2},
    "split": "train",
    "batch_size": 4,
    "shuffle": True,
    "seed": None,
}


class DatasetConfigTest(parameterized.TestCase):
    def test_fields_are_those_of_t5x_and_the_files(self):
        names = [field.name for field in dataclasses.fields(config.DatasetConfig)]
        self.assertEqual(
            names,
            "mixture_or_task_name task_feature_lengths split batch_size shuffle seed use_cached "
            "pack use_custom_packing_ops module use_memory_cache trim_output_features "
            "runtime_preprocessors num_prefetch_threads num_workers file_task".split(),
        )

    def test_good_settings(self):
        config.DatasetConfig(**_GOOD)
        config.DatasetConfig(**{**_GOOD, "task_feature_lengths": None})
        more = {"inputs": 8, "targets": 2, "is_correct": 3}
        config.DatasetConfig(**{**_GOOD, "task_feature_lengths": more})

    @parameterized.parameters(
        ({"mixture_or_task_name": None}, "--task or MIXTURE_OR_TASK_NAME"),
        ({"mixture_or_task_name": ""}, "must be the name of a task"),
        ({"batch_size": 0}, "--batch_size or BATCH_SIZE"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"split": ""}, "name of a split"),
        ({"task_feature_lengths": {"inputs": 8}}, "TASK_FEATURE_LENGTHS"),
        ({"task_feature_lengths": {"inputs": 0, "targets": 1}}, "must be like"),
        ({"task_feature_lengths": 512}, "is 512"),
        ({"pack": True}, "DatasetConfig.pack = False"),
        ({"use_custom_packing_ops": True}, "not packed"),
        ({"trim_output_features": False}, "always cut"),
        ({"runtime_preprocessors": [len]}, "the task's preprocessors"),
        ({"num_workers": 2}, "num_workers = 0"),
        ({"mixture_or_task_name": "file_task"}, "has no file; set --train_file"),
        (
            {"mixture_or_task_name": "file_task", "file_task": config.FileTask()},
            "has no file; set --train_file",
        ),
    )
    def test_wrong_settings(self, arguments, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            config.DatasetConfig(**{**_GOOD, **arguments})

    def test_file_task(self):
        files = config.FileTask(test_file="t.tsv", text_columns=["a", 1], label_words=None)
        self.assertEqual(files.text_columns, ("a", 1))
        self.assertEqual(files.label_words, ())
        self.assertEqual(files.files, {"train": None, "validation": None, "test": "t.tsv"})
        settings = {**_GOOD, "mixture_or_task_name": "file_task", "file_task": files}
        self.assertIs(config.DatasetConfig(**settings).file_task, files)

    @parameterized.parameters(
        ({"train_file": "a", "text_columns": "text"}, "Set TEXT_COLUMNS"),
        ({"train_file": "a", "label_words": "yes"}, "Set LABEL_WORDS"),
    )
    def test_wrong_file_task(self, arguments, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            config.FileTask(**arguments)


if __name__ == "__main__":
    absltest.main()
