# SPDX-License-Identifier: Apache-2.0
"""The benchmark feeds every kind of pipeline, and its table stands for every registered task."""

import os

from absl.testing import absltest

from prompt_tuning.data import task_spec, task_table
from tests.benchmarks import public_rows, task_benchmark

# A task of each shape of rows, and of each kind of steps.
_SOME = (
    "^(own file, parquet|taskless_glue_stsb_v002|super_glue_record_v102|byt5_glue_cola_v002|"
    "super_glue_wsc_v102_simple_train|dpr_v001_simple|cnn_dailymail_v310_examples|"
    "c4_v220_bart_text_infilling|glue_cola_v200_(perceptron_train|rank_classification_validation))$"
)


class TaskBenchmarkTest(absltest.TestCase):
    def test_every_task_is_in_one_pipeline(self):
        groups = task_benchmark.pipelines()
        tasks = [
            name
            for name, spec in task_table.specs().items()
            if isinstance(spec, task_spec.TaskSpec)
        ]
        self.assertCountEqual([name for names in groups.values() for name in names], tasks)
        self.assertIn("mt5_taskless_glue_sst2_v200_examples", groups["taskless_glue_sst2_v002"])
        self.assertNotIn("task_index_glue_sst2_v002", groups["taskless_glue_sst2_v002"])

    def test_measures_and_goes_on(self):
        path = os.path.join(self.create_tempdir().full_path, "results.jsonl")
        found = task_benchmark.results(64, 1, _SOME, path)
        self.assertLen(found, 10)
        for name, record in found.items():
            if name == "glue_cola_v200_perceptron_train":
                self.assertIn("int32 of rank 1", record["not_fed"])
            else:
                self.assertGreater(min(record["ours"], record["seqio"]), 0, name)
        again = task_benchmark.results(64, 1, _SOME, path)
        self.assertEqual(again, found)
        page = task_benchmark.report(found, 64)
        self.assertIn("| `dpr_v001_simple` | ", page)
        self.assertIn("`mt5_` of it", page)
        self.assertRegex(page, r"\n9 pipelines of \d+, \d+ tasks of \d+\.")

    def test_names_of_a_row(self):
        names = ["a", "b", "mt5_b", "mt5_a", "mt5_c"]
        self.assertEqual(task_benchmark.stands_for(names), "`mt5_` of it, `(mt5_)b`, `mt5_c`")
        self.assertEqual(task_benchmark.stands_for(["a"]), "")

    def test_split_that_is_measured(self):
        def split(name: str) -> tuple[str, str]:
            spec = task_table.specs()[name]
            first = public_rows.first_split(spec)
            return first, public_rows.base_splits(spec)[first]

        self.assertEqual(split("glue_sst2_v002"), ("train", "train"))
        self.assertEqual(split("mrqa_drop_v100_examples"), ("validation", "test"))
        self.assertEqual(
            split("glue_cola_v200_rank_classification_validation"), ("validation", "train")
        )


if __name__ == "__main__":
    absltest.main()
