# SPDX-License-Identifier: Apache-2.0
import os
import sys

import seqio
from absl.testing import absltest

from prompt_tuning.config import dataset_config
from prompt_tuning.data import file_task, fixture_tasks, tasks


class TasksTest(absltest.TestCase):
    def _file(self, content: str) -> str:
        path = os.path.join(self.create_tempdir().full_path, "a.tsv")
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path

    def test_demo_task(self):
        seqio.TaskRegistry.remove(tasks.DEMO_TASK)
        task = tasks.ensure_registered(tasks.DEMO_TASK)
        self.assertCountEqual(task.splits, ["train", "validation", "test"])
        self.assertEqual(tasks.label_words(task), ("negative", "positive"))
        self.assertFalse(task.output_features["inputs"].add_eos)
        train, test = (task.source.examples(split) for split in ("train", "test"))
        self.assertLen(train, tasks.DEMO_SPLITS["train"][0])
        self.assertCountEqual(set(test.targets), tasks.DEMO_LABELS)
        self.assertEmpty(set(train.inputs) & set(test.inputs))
        lengths = {"inputs": 64, "targets": 4}
        row = next(task.get_dataset(lengths, "test", shuffle=False).as_numpy_iterator())
        vocabulary = task.output_features["inputs"].vocabulary
        self.assertEqual(vocabulary.decode(row["inputs"]), test.inputs[0])
        self.assertEqual(row["targets"][-1], vocabulary.eos_id)

    def test_demo_task_is_registered_once(self):
        first = tasks.ensure_registered(tasks.DEMO_TASK)
        self.assertIs(tasks.ensure_registered(tasks.DEMO_TASK), first)

    def test_label_words_are_one_piece_after_the_prompt(self):
        vocabulary = fixture_tasks.vocabulary()
        for word in tasks.DEMO_LABELS:
            self.assertLen(vocabulary.encode(word), 1)

    def test_file_task(self):
        path = self._file("label\ttext\n1\tgood\n")
        fmt = file_task.RowFormat(label_words=("no", "yes"))
        files = {"validation": path, "train": None}
        task = tasks.register_file_task(files, fmt, fixture_tasks.vocabulary())
        self.assertEqual(task.name, "file_task")
        self.assertSequenceEqual(task.splits, ["validation"])
        self.assertEqual([task.postprocess_fn(t) for t in ("yes", "no", "Yes")], [1, 0, -1])
        row = next(task.get_dataset(None, "validation", shuffle=False).as_numpy_iterator())
        self.assertEqual(row["targets_pretokenized"], b"yes")

    def test_file_task_for_generation_compares_texts(self):
        path = self._file("label\ttext\nanything\tgood\n")
        task = tasks.register_file_task(
            {"train": path}, file_task.RowFormat(), fixture_tasks.vocabulary()
        )
        self.assertEqual(task.postprocess_fn("x"), "x")
        self.assertEqual(tasks.label_words(task), ())

    def test_registering_again_replaces(self):
        for word in ("a", "b"):
            fmt = file_task.RowFormat(label_words=(word,))
            files = {"train": self._file("label\ttext\n0\tx\n")}
            tasks.register_file_task(files, fmt, fixture_tasks.vocabulary())
        task = tasks.ensure_registered(tasks.FILE_TASK)
        self.assertEqual(task.source.examples("train").targets, ["b"])

    def test_files_are_read_when_used(self):
        task = tasks.register_file_task(
            {"train": "/nowhere.tsv"}, file_task.RowFormat(), fixture_tasks.vocabulary()
        )
        with self.assertRaisesRegex(FileNotFoundError, "/nowhere.tsv"):
            task.get_dataset(None, "train")

    def test_no_files(self):
        with self.assertRaisesRegex(ValueError, "has no file.*--train_file"):
            tasks.register_file_task({"train": None}, file_task.RowFormat(), None)

    def test_unknown_task_names_the_nearest(self):
        with self.assertRaisesRegex(ValueError, "'bundled_review'.*Did you mean 'bundled_reviews'"):
            tasks.ensure_registered("bundled_review")

    def test_tasks_of_a_module(self):
        folder = self.create_tempdir().full_path
        name = "module_with_a_task_for_tasks_test"
        with open(os.path.join(folder, f"{name}.py"), "w", encoding="utf-8") as file:
            file.write(
                "from prompt_tuning.data import fixture_tasks\n"
                "fixture_tasks.register_plain('task_of_a_module')\n"
            )
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)
        task = tasks.ensure_registered("task_of_a_module", name)
        self.assertEqual(task.name, "task_of_a_module")
        self.assertEqual(tasks.label_words(task), ())

    def test_public_datasets_need_no_module(self):
        vocabulary = fixture_tasks.vocabulary()
        for module in (
            None,
            "prompt_tuning.data.glue",
            "prompt_tuning.data.tasks",
            "prompt_tuning.spot.data.tasks",
            "prompt_tuning.recycling.data.imdb",
            "prompt_tuning.extended.perceptron.data.tasks",
        ):
            task = tasks.ensure_registered("taskless_glue_sst2_v200", module, vocabulary)
            self.assertEqual(task.output_features["inputs"].vocabulary, vocabulary)

    def test_config_gives_the_vocabulary(self):
        config = dataset_config.DatasetConfig(
            mixture_or_task_name="taskless_glue_rte_v200",
            task_feature_lengths=None,
            split="train",
            batch_size=1,
            shuffle=False,
            seed=0,
        )
        task = tasks.from_config(config, fixture_tasks.vocabulary())
        self.assertEqual(task.output_features["targets"].vocabulary, fixture_tasks.vocabulary())
        self.assertIs(tasks.ensure_registered("taskless_glue_rte_v200"), task)

    def test_the_users_files_are_read_once(self):
        path = self.create_tempfile("a.tsv", "text\tlabel\ngood\tyes\nx\ty\tz\n").full_path

        def config(**options) -> dataset_config.DatasetConfig:
            files = dataset_config.FileTask(train_file=path, skip_bad_rows=True, **options)
            return dataset_config.DatasetConfig(
                tasks.FILE_TASK, None, "train", 1, False, 0, file_task=files
            )

        task = tasks.from_config(config(), fixture_tasks.vocabulary())
        with self.assertLogs(level="WARNING") as logs:
            for _ in range(2):
                again = tasks.from_config(config(), fixture_tasks.vocabulary())
                self.assertIs(again, task)
                self.assertEqual(again.source.skipped("train"), 1)
        self.assertLen(logs.output, 1)
        # Other settings, or another file under the name, make another task.
        other = tasks.from_config(config(add_inputs_eos=False), fixture_tasks.vocabulary())
        self.assertIsNot(other, task)
        with open(path, "a", encoding="utf-8") as file:
            file.write("fine\tyes\n")
        changed = tasks.from_config(config(add_inputs_eos=False), fixture_tasks.vocabulary())
        self.assertLen(changed.source.tokens("train")["inputs"], 2)

    def test_known_names(self):
        known = tasks.known_task_names()
        some = {tasks.DEMO_TASK, "pr:glue_sst2_v200", "mt5_xsum_v110_examples"}
        self.assertContainsSubset(some, known)
        self.assertEqual(known, sorted(set(known)))
        with self.assertRaisesRegex(ValueError, "Did you mean 'taskless_glue_sst2_v002'"):
            tasks.ensure_registered("taskless_glue_sst_v002")

    def test_missing_module(self):
        with self.assertRaisesRegex(ValueError, "MODULE is 'seqio.nowhere'.*'seqio.nowhere'"):
            tasks.ensure_registered("x", "seqio.nowhere")


if __name__ == "__main__":
    absltest.main()
