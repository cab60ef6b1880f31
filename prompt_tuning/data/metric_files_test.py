# SPDX-License-Identifier: Apache-2.0
import os

from absl.testing import absltest, parameterized

from prompt_tuning.data import metric_files


class MetricFilesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.create_tempdir().full_path

    def write(self, task, *steps, ending=""):
        text = "".join(f'{{"step": {step}, "accuracy": 0.5}}\n' for step in steps)
        with open(metric_files.path(self.folder, task), "w", encoding="utf-8") as file:
            file.write(text + ending)

    def steps(self, task):
        with open(metric_files.path(self.folder, task), encoding="utf-8") as file:
            return [line.split(",")[0].rpartition(" ")[2] for line in file]

    @parameterized.parameters(
        (20, True, ["10", "20"]), (30, False, ["10", "20"]), (10, True, ["10"]), (5, False, [])
    )
    def test_one_task(self, step, complete, kept):
        self.write("a", 10, 20)
        self.assertEqual(metric_files.rewind(self.folder, ["a"], step), complete)
        self.assertEqual(self.steps("a"), kept)

    def test_an_evaluation_is_of_all_tasks_or_none(self):
        self.write("a", 10, 20)
        self.write("b", 10)
        self.assertFalse(metric_files.rewind(self.folder, ["a", "b"], 20))
        self.assertEqual((self.steps("a"), self.steps("b")), (["10"], ["10"]))
        self.assertTrue(metric_files.rewind(self.folder, ["a", "b"], 10))

    def test_half_a_line_is_forgotten(self):
        self.write("a", 10, ending='{"step": 2')
        self.assertTrue(metric_files.rewind(self.folder, ["a"], 10))
        self.assertEqual(self.steps("a"), ["10"])
        self.assertEqual(os.listdir(self.folder), ["a-metrics.jsonl"])

    def test_no_files(self):
        self.assertFalse(metric_files.rewind(os.path.join(self.folder, "none"), ["a"], 10))
        self.assertEmpty(os.listdir(self.folder))


if __name__ == "__main__":
    absltest.main()
