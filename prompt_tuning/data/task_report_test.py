# SPDX-License-Identifier: Apache-2.0
import os

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.config import dataset_config
from prompt_tuning.data import fixture_tasks, task_report, tasks

_LIMITS = {"inputs": 16, "targets": 4}


class TaskReportTest(parameterized.TestCase):
    def test_text_tasks_are_reported_from_their_tokens(self):
        task = fixture_tasks.register_ours()
        report = task_report.of_text_task(task, "train", _LIMITS)
        self.assertEqual(report.num_examples, 7)
        self.assertEqual(report.classes, {"negative": 4, "positive": 2})
        dataset = task.get_dataset(None, "train", shuffle=False)
        lengths = [len(row["inputs"]) for row in dataset.as_numpy_iterator()]
        np.testing.assert_array_equal(report.lengths["inputs"], lengths)
        self.assertEqual(report.truncated("inputs"), sum(n > 16 for n in lengths))
        self.assertGreater(report.truncated("inputs"), 0)

    def test_text(self):
        task = fixture_tasks.register_ours()
        report = task_report.of_text_task(task, "train", _LIMITS)
        first, labels, inputs, targets = report.text().split("\n")
        self.assertEqual(first, "ours, split train: 7 examples")
        self.assertEqual(
            labels, "  labels   'negative' 4 (57.1%)  'positive' 2 (28.6%)  other 1 (14.3%)"
        )
        cut = report.truncated("inputs")
        self.assertRegex(inputs, rf"  inputs   1 to \d+ tokens, median \d+, 95 % up to \d+; {cut} ")
        self.assertEndsWith(inputs, "longer than 16 are cut: --inputs_length")
        self.assertStartsWith(targets, "  targets  ")

    @parameterized.parameters(fixture_tasks.register_ours, fixture_tasks.register_plain)
    def test_any_task_through_seqio(self, register):
        task = register(pairs=fixture_tasks.PAIRS[4:] * 2)
        report, shown = task_report.of_any_task(task, "train", _LIMITS, shown=1)
        self.assertEqual((report.num_examples, report.more), (6, False))
        self.assertEqual(report.classes, {"negative": 4, "positive": 2})
        self.assertLen(shown, 1)
        text = task_report.shown_example(task, shown[0], _LIMITS)
        self.assertRegex(text, r"inputs \(\d+ tokens, cut to 16\): 'aaaa")
        self.assertIn("targets (", text)
        self.assertLen(text.split("ids: [")[1].split("]")[0].split(","), 16)

    def test_both_ways_agree(self):
        task = fixture_tasks.register_ours()
        quick = task_report.of_text_task(task, "train", _LIMITS)
        slow, _ = task_report.of_any_task(task, "train", _LIMITS)
        for name, lengths in slow.lengths.items():
            np.testing.assert_array_equal(quick.lengths[name], lengths)

    def test_part_of_a_split(self):
        task = fixture_tasks.register_plain()
        report, _ = task_report.of_any_task(task, "train", max_examples=3)
        self.assertEqual((report.num_examples, report.more), (3, True))
        self.assertIn("3 examples (there are more)", report.text())
        self.assertIsNone(task_report.of_text_task(task, "train"))

    def test_labels_of_few_rows(self):
        # Two rows, two labels: as many labels as rows.
        plain = fixture_tasks.register_plain(pairs=fixture_tasks.PAIRS[:2])
        report, _ = task_report.of_any_task(plain, "train")
        self.assertEqual(report.classes, {"positive": 1, "negative": 1})
        self.assertIn("  labels   'positive' 1 (50.0%)  'negative' 1 (50.0%)\n", report.text())
        # A label that no row has is told, too.
        ours = fixture_tasks.register_ours(pairs=fixture_tasks.PAIRS[:1])
        report, _ = task_report.of_any_task(ours, "train")
        self.assertEqual(report.classes, {"negative": 0, "positive": 1})

    def test_free_text_is_no_class(self):
        pairs = [("a", f"answer number {i} {'long ' * 20}") for i in range(51)]
        report, _ = task_report.of_any_task(fixture_tasks.register_plain(pairs=pairs), "train")
        self.assertIsNone(report.classes)
        few = fixture_tasks.register_plain(pairs=pairs[:20])
        report, _ = task_report.of_any_task(few, "train")
        labels = report.text().split("\n")[1]
        self.assertIn("'answer number 0 long long long long l...' 1 (5.0%)", labels)
        self.assertEndsWith(labels, "  and 8 more")

    def test_unknown_split(self):
        with self.assertRaisesRegex(ValueError, "no split 'dev'; it has train: --split"):
            task_report.of_any_task(fixture_tasks.register_plain(), "dev")

    def test_histogram_holds_every_example(self):
        lengths = np.array([1, 4, 5, 8, 8, 30])
        report = task_report.Report("t", "s", {"inputs": lengths, "targets": lengths}, None, None)
        rows = report.histogram("inputs").split("\n")
        self.assertEqual(
            [row.split("%")[0].split()[-1] for row in rows], "33.3 50.0 0.0 16.7".split()
        )
        self.assertEqual(rows[1].count("#"), 20)

    def test_skipped_rows_are_counted(self):
        path = os.path.join(self.create_tempdir().full_path, "a.tsv")
        with open(path, "w", encoding="utf-8") as file:
            file.write("text\tlabel\ngood\tyes\nbad\tno\tno\nbad\tnope\nbad\tno\n")
        config = dataset_config.DatasetConfig(
            mixture_or_task_name=tasks.FILE_TASK,
            task_feature_lengths=_LIMITS,
            split="train",
            batch_size=1,
            shuffle=False,
            seed=0,
            file_task=dataset_config.FileTask(
                train_file=path, label_words=("no", "yes"), skip_bad_rows=True
            ),
        )
        task = tasks.from_config(config, fixture_tasks.vocabulary())
        report = task_report.of_text_task(task, "train", _LIMITS)
        self.assertIn("2 examples, 2 bad rows left out", report.text())
        self.assertEqual(
            report.figures(),
            {
                "train_examples": 2,
                "train_rows_skipped": 2,
                "train_inputs_truncated": 0,
                "train_targets_truncated": 0,
            },
        )


if __name__ == "__main__":
    absltest.main()
