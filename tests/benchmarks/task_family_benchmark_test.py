# SPDX-License-Identifier: Apache-2.0
"""The benchmark compares pipelines that give the same number of examples of every family."""

from absl.testing import absltest

from tests.benchmarks import task_family_benchmark


class TaskFamilyBenchmarkTest(absltest.TestCase):
    def test_table_has_every_family(self):
        table = task_family_benchmark.report(64, 1)
        for family in ("own file, tsv", "own file, parquet", "glue", "super_glue", "qa", "c4"):
            self.assertIn(f"| {family}", table)
        for line in table.split("\n")[4:]:
            ours, theirs = (float(cell.replace(",", "")) for cell in line.split("|")[2:4])
            self.assertGreater(min(ours, theirs), 0)


if __name__ == "__main__":
    absltest.main()
