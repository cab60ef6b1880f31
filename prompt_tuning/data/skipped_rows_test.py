# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest, parameterized

from prompt_tuning.data import rows, skipped_rows


class SkippedRowsTest(parameterized.TestCase):
    def test_nothing_is_skipped(self):
        skipped = skipped_rows.SkippedRows("a.tsv")
        self.assertFalse(skipped)
        self.assertEqual(skipped.first, "")

    def test_few_are_told_one_by_one(self):
        skipped = skipped_rows.SkippedRows("a.tsv")
        skipped.add(rows.BadRow(3, "no text."))
        skipped.add(rows.BadRow(9, "no label."))
        self.assertEqual(skipped.first, "a.tsv:3: no text.")
        self.assertEqual(
            skipped.text().split("\n"),
            ["a.tsv: 2 bad rows left out", "  a.tsv:3: no text.", "  a.tsv:9: no label."],
        )

    def test_the_rest_is_summed_by_reason_and_nothing_is_lost(self):
        skipped = skipped_rows.SkippedRows("a.tsv")
        for line in range(1, 101):
            skipped.add(rows.BadRow(line, f"the label {f'x{line}'!r} is none; correct it."))
        for kind in range(20):
            skipped.add(rows.BadRow(101, f"problem {chr(97 + kind)}"))
        lines = skipped.text().split("\n  ")
        self.assertLen(skipped, 120)
        self.assertEqual(lines[0], "a.tsv: 120 bad rows left out")
        self.assertEqual(lines[skipped_rows.TOLD + 1], "and 100 more:")
        self.assertEqual(lines[skipped_rows.TOLD + 2], "80 rows: the label * is none")
        summed = [int(line.split()[0]) for line in lines[skipped_rows.TOLD + 2 :]]
        self.assertEqual(sum(summed), 100)
        self.assertEndsWith(lines[-1], "rows: other reasons")

    @parameterized.parameters(
        ("the label 'a b' is neither one of ['no', 'yes'] nor 1; x.", "[*, *] nor *"),
        ('the label "it\'s" is none.', "the label * is none"),
        (r"the label 'it\'s \'so\'' is none.", "the label * is none"),
    )
    def test_reasons_have_no_values(self, problem, end):
        self.assertEndsWith(skipped_rows.reason(problem), end)


if __name__ == "__main__":
    absltest.main()
