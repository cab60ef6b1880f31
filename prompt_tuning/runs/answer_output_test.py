# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import os
from unittest import mock

from absl.testing import absltest

from prompt_tuning.inference import answers
from prompt_tuning.runs import answer_output

_IDENTITY = {"prompt": "a"}


def _records(model, rows, manner, first):
    """In place of a model: answers with the row's own number."""
    del model, manner
    for place, row in enumerate(rows, start=first):
        if row.fields["n"] == "stop":
            raise KeyboardInterrupt
        yield {"inputs": row.fields, "prediction": str(place)}


class AnswerOutputTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.enter_context(mock.patch.object(answers, "records", _records))
        self.said = self.enter_context(contextlib.redirect_stderr(io.StringIO()))
        self.path = os.path.join(self.create_tempdir().full_path, "out.jsonl")

    def output(self, *numbers) -> answer_output.AnswerOutput:
        rows = (answers.InputRow({"n": n}, None) for n in numbers)
        return answer_output.AnswerOutput(None, answers.Manner(), rows)

    def predictions(self) -> list[str]:
        with open(self.path, encoding="utf-8") as file:
            return [json.loads(line)["prediction"] for line in file]

    def test_standard_output(self):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.assertEqual(self.output(5, 6).write_stdout(), 2)
        lines = [json.loads(line) for line in printed.getvalue().splitlines()]
        self.assertEqual([line["inputs"]["n"] for line in lines], [5, 6])
        self.assertIn("2 examples", self.said.getvalue())

    def test_an_interrupted_file_goes_on_where_it_was(self):
        with self.assertRaisesRegex(KeyboardInterrupt, "the same command goes on there"):
            self.output(5, 6, "stop", 8).write_file(self.path, _IDENTITY, 1)
        self.assertFalse(os.path.exists(self.path))
        self.assertEqual(self.output(5, 6, 7, 8).write_file(self.path, _IDENTITY, 1), 2)
        self.assertIn("going on after 2 examples", self.said.getvalue())
        # Places count from the start of the whole stream.
        self.assertEqual(self.predictions(), ["0", "1", "2", "3"])

    def test_a_file_of_another_prompt_is_not_gone_on_with(self):
        with self.assertRaises(KeyboardInterrupt):
            self.output(5, "stop").write_file(self.path, _IDENTITY, 1)
        with self.assertRaisesRegex(ValueError, "prompt"):
            self.output(5, 6).write_file(self.path, {"prompt": "b"}, 1)

    def test_a_complete_shard_is_left_alone(self):
        self.assertEqual(self.output(5, 6).write_shard(self.path, _IDENTITY, 1), 2)
        self.assertTrue(os.path.exists(self.path + ".COMPLETED"))
        self.assertEqual(self.output("stop").write_shard(self.path, _IDENTITY, 1), 0)
        self.assertIn("remove", self.said.getvalue())
        self.assertEqual(self.predictions(), ["0", "1"])


if __name__ == "__main__":
    absltest.main()
