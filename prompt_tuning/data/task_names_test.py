# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest, parameterized

from prompt_tuning.data import task_names, task_table


class TaskNamesTest(parameterized.TestCase):
    def test_the_file_lists_what_the_tables_hold(self):
        """Otherwise: bazel run //prompt_tuning/data:task_list -- FILES, as task_list.py says."""
        self.assertEqual(list(task_names.listed()), sorted(task_table.specs()))

    @parameterized.parameters(
        "bundled_reviews", "file_task", "taskless_glue_sst2_v200_examples", "mt5_xsum_v110_examples"
    )
    def test_known(self, name):
        task_names.check(name)

    @parameterized.parameters(
        ("prompt_tuning.spot.data", "prompt_tuning.data.spot"),
        ("prompt_tuning.recycling.data.tasks", "prompt_tuning.data.recycling"),
        ("prompt_tuning.spot.database", "prompt_tuning.spot.database"),
        ("prompt_tuning.data.glue", "prompt_tuning.data.glue"),
    )
    def test_names_of_upstreams_modules(self, upstream, here):
        self.assertEqual(task_names.module_here(upstream), here)

    def test_unknown_names_the_nearest(self):
        with self.assertRaisesRegex(
            ValueError, "no task or mixture 'bundled_review' .*Did you mean 'bundled_reviews'"
        ):
            task_names.check("bundled_review")


if __name__ == "__main__":
    absltest.main()
