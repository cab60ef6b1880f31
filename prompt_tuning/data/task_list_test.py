# SPDX-License-Identifier: Apache-2.0
import os

from absl.testing import absltest

from prompt_tuning.data import task_list, task_table

_DOCUMENT = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "tasks.md")


class TaskListTest(absltest.TestCase):
    def test_document_is_up_to_date(self):
        with open(_DOCUMENT, encoding="utf-8") as file:
            found = file.read()
        message = "bazel run //prompt_tuning/data:task_list writes it: see task_list.py"
        self.assertEqual(found, task_list.render(), message)

    def test_every_family_and_name_is_there(self):
        text = task_list.render()
        for name, spec in task_table.specs().items():
            if not spec.model:
                self.assertIn(f"| `{name}` |", text)

    def test_rows(self):
        lines = task_list.render().splitlines()
        self.assertIn("| `glue_ax_v002` | glue/ax:1.0.0 | test | none |", lines)
        self.assertIn(
            "| `mrqa_drop_v100_examples` | mrqa/drop:1.0.0 | validation = `test` | squad, text |",
            lines,
        )
        self.assertIn(
            "| `pr:super_glue_record_v102_rc` | super_glue/record:1.0.2 | validation | "
            "rank_classification, rank_classification (normed) |",
            lines,
        )

    def test_writes_the_files(self):
        folder = self.create_tempdir().full_path
        paths = [os.path.join(folder, name) for name in ("tasks.md", "task_names.txt")]
        task_list.main(["task_list", *paths])
        for path, expected in zip(paths, (task_list.render(), task_list.names()), strict=True):
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), expected)


if __name__ == "__main__":
    absltest.main()
