# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest, parameterized

from prompt_tuning.data import row_format, row_reader

RowFormat = row_format.RowFormat
Row = row_reader.Row
_WORDS = ("negative", "positive")


def _convert(fmt: RowFormat, *rows) -> list[row_format.Example]:
    rows = [Row(line, cells) for line, cells in enumerate(rows, 1)]
    converter = row_format.RowConverter(fmt, rows[0], "f:1")
    return [converter(row) for row in rows[converter.first_is_header :]]


class RowFormatTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("word", "positive"), ("index", "1"), ("spaces", " positive "), ("mapped", "good")
    )
    def test_label_spellings(self, cell):
        fmt = RowFormat(label_words=_WORDS, label_map={"good": "positive"})
        self.assertEqual(
            _convert(fmt, ["sentence", "label"], ["nice", cell]),
            [row_format.Example("nice", "positive", 1, 2)],
        )

    def test_label_words_that_are_digits_are_words_first(self):
        fmt = RowFormat(label_words=("1", "0"))
        example = _convert(fmt, ["text", "label"], ["x", "0"])[0]
        self.assertEqual((example.target, example.label_id), ("0", 1))

    def test_without_label_words_the_target_is_the_cell(self):
        example = _convert(RowFormat(label_column="answer"), ["q", "answer"], ["why", " so "])[0]
        self.assertEqual((example.text, example.target, example.label_id), ("why", " so ", -1))

    def test_prompt_of_a_row(self):
        fmt = RowFormat(prompt_column="task", optional=("prompt", "label"))
        rows = (["task", "text"], ["a", "x"], ["", "y"])
        self.assertEqual([e.prompt for e in _convert(fmt, *rows)], ["a", ""])
        self.assertEqual([e.text for e in _convert(fmt, ["text"], ["x"])], ["x"])
        rows = (
            {"text": "x"},
            {"text": "y", "task": "b", "label": "l"},
            {"text": "z", "task": None},
        )
        examples = _convert(fmt, *rows)
        self.assertEqual([(e.prompt, e.target) for e in examples], [("", ""), ("b", "l"), ("", "")])
        with self.assertRaisesRegex(ValueError, "no prompt column 'task'.*--prompt_column"):
            _convert(RowFormat(label_column=None, prompt_column="task"), ["text"])

    def test_without_labels(self):
        example = _convert(RowFormat(label_column=None), ["q"], ["why"])[0]
        self.assertEqual((example.target, example.label_id), ("", -1))

    def test_template_over_named_columns(self):
        fmt = RowFormat(input_template="a: {a} {{b}}: {b}.", label_words=_WORDS)
        example = _convert(fmt, ["b", "id", "a", "label"], ["2", "7", "1", "0"])[0]
        self.assertEqual(example.text, "a: 1 {b}: 2.")

    def test_indices_without_a_header(self):
        fmt = RowFormat(text_columns=["1", 2], label_column="0", input_template="{1}|{2}")
        self.assertEqual(_convert(fmt, ["y", "a", "b"])[0].text, "a|b")
        self.assertEqual(_convert(fmt, ["y", "a", "b"])[0].target, "y")

    def test_indices_with_a_header(self):
        fmt = RowFormat(text_columns=[1], label_column=0, header=True)
        self.assertLen(_convert(fmt, ["h", "h2"], ["y", "a"]), 1)

    def test_lone_column_without_a_header_is_the_text(self):
        self.assertEqual(_convert(RowFormat(label_column=0), ["y", "a"])[0].text, "a")

    @parameterized.parameters((2, "2"), (1.5, "1.5"), (True, "1"), ("x", "x"))
    def test_json_scalars(self, value, text):
        self.assertEqual(_convert(RowFormat(), {"t": "x", "label": value})[0].target, text)

    @parameterized.named_parameters(
        ("label", {}, "no label column 'label'.*'lable'.*--label_column.*Did you mean 'lable'"),
        ("text", {"text_columns": ["tex"], "label_column": None}, "no text column 'tex'.*'text'"),
        ("position", {"text_columns": [9], "label_column": "lable"}, "no text column 9.*3 columns"),
        ("default", {"label_column": None}, "which column is the text.*--text_column"),
        (
            "no_template",
            {"text_columns": ["text", "b"], "label_column": None},
            r'2 text columns.*--input_template.*"\{text\} \{b\}"',
        ),
        (
            "foreign_field",
            {"text_columns": ["text"], "label_column": None, "input_template": "{txt}"},
            "names 'txt'.*Did you mean 'text'",
        ),
    )
    def test_columns_that_do_not_fit(self, options, problem):
        for first in (["text", "b", "lable"], {"text": "x", "b": "y", "lable": "z"}):
            if isinstance(first, dict) and options.get("text_columns") == [9]:
                continue
            with self.assertRaisesRegex(ValueError, problem):
                _convert(RowFormat(**options), first)

    def test_duplicate_header(self):
        with self.assertRaisesRegex(ValueError, r"f:1: the header has \['a'\] more than once"):
            _convert(RowFormat(label_column=None), ["a", "b", "a"])

    @parameterized.named_parameters(
        (
            "width",
            ["x"],
            "the row has 1 columns, and the first line has 2; correct the row or set --skip",
        ),
        ("label", ["x", "neutral"], "'neutral' is neither .*'negative', 'positive'.*--label_words"),
        ("index", ["x", "2"], "an index from 0 to 1"),
        ("negative_index", ["x", "-1"], "neither"),
        ("empty", [" ", "1"], "the input text is empty"),
    )
    def test_bad_cells(self, cells, problem):
        with self.assertRaisesRegex(row_format.RowError, problem):
            _convert(RowFormat(label_words=_WORDS), ["text", "label"], cells)

    @parameterized.named_parameters(
        ("missing", {"lable": 0, "t": "x"}, "no 'label'.*Did you mean 'lable'"),
        ("null", {"label": None, "t": "x"}, "'label' is null"),
        ("list", {"label": [0], "t": "x"}, "'label' must be a text or a number, not a list"),
        ("surrogate", {"label": 0, "t": "\ud800"}, "unpaired surrogate"),
    )
    def test_bad_json_members(self, cells, problem):
        with self.assertRaisesRegex(row_format.RowError, problem):
            _convert(RowFormat(label_words=_WORDS), {"label": 0, "t": "x"}, cells)

    @parameterized.named_parameters(
        ("text_for_list", {"label_words": "positive"}, "label_words is a list"),
        ("twice", {"label_words": ["a", "a"]}, "twice"),
        ("map", {"label_words": ["a"], "label_map": {"x": "b"}}, "sends 'x' to 'b'"),
        ("brace", {"input_template": "{a"}, "does not parse"),
        ("no_field", {"input_template": "a"}, "names no column"),
        ("conversion", {"input_template": "{a!r}"}, "not just a column's name"),
        ("spec", {"input_template": "{a:>9}"}, "not just a column's name"),
        ("unnamed", {"input_template": "{}"}, "not just a column's name"),
    )
    def test_settings_that_make_no_sense(self, options, problem):
        with self.assertRaisesRegex(ValueError, problem):
            RowFormat(**options)

    def test_long_lists_of_columns_are_cut(self):
        with self.assertRaisesRegex(ValueError, "and 30 more"):
            _convert(RowFormat(label_column="z"), [f"c{i}" for i in range(50)])


if __name__ == "__main__":
    absltest.main()
