# SPDX-License-Identifier: Apache-2.0
"""The infer program on text: prompts by row, rows with errors, live lines, and restarts."""

import json
import os
import signal
import subprocess

import numpy as np
from absl.testing import absltest

from tests.end_to_end import programs, prompted_runs

_GOOD, _LABELS = prompted_runs.GOOD, prompted_runs.LABELS


class AnsweringTest(prompted_runs.PromptedRunsTest):
    def test_each_row_has_its_prompt_and_bad_rows_their_errors(self):
        rows = [
            {"text": _GOOD, "task": "a"},
            {"text": "word " * 200, "task": "a"},
            {"text": _GOOD, "task": "b"},
            {"text": _GOOD, "task": "nobody"},
            None,
            {"text": _GOOD, "task": "c"},
            {"text": "  ", "task": "b"},
            {"text": _GOOD},
        ]
        lines = "".join((json.dumps(row) if row else "") + "\n" for row in rows)
        flags = (self.write("rows.jsonl", lines), "--prompt_column=task", "--text_column=text")
        result = self.infer(*flags, *self.prompts, _LABELS, "--output_file=mixed.jsonl")
        written = (self.folder / "mixed.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in written]
        self.assertEqual(
            [record.get("error") for record in records],
            [None, "too_long", None, "unknown_prompt", "empty", None, "empty", "unknown_prompt"],
        )
        self.assertRegex(result.stderr, "8 examples in .*5 without an answer: 2 empty, 1 too_long")
        self.assertEqual(records[2]["inputs"], {"inputs_pretokenized": _GOOD, "prompt": "b"})
        for place, name in ((0, "a"), (2, "b"), (5, "c")):
            flags = (f"--prompt_file={name}.npy", f"--prompt_length={len(self.prompt(name))}")
            alone = self.infer(*flags, "--input_file=-", _LABELS, stdin=_GOOD).records()[0]
            for label, score in alone["label_scores"].items():
                # float32: a batch of rows sums in another order than one row does.
                self.assertAlmostEqual(records[place]["label_scores"][label], score, delta=1e-3)

    def prompt(self, name):
        return np.load(self.folder / f"{name}.npy")

    def test_a_killed_run_goes_on(self):
        texts = [f"{_GOOD} {place}" for place in range(6_000)]
        source = self.write("many.txt", "".join(text + "\n" for text in texts))
        flags = (source, self.prompts[0], _LABELS, "--output_file=many.jsonl")
        partial = self.folder / "many.jsonl.partial"

        def some_are_written():
            return partial.exists() and partial.stat().st_size > 1_000

        programs.run_until(
            "infer", *flags, folder=self.folder, reached=some_are_written, number=signal.SIGKILL
        )
        self.assertFalse((self.folder / "many.jsonl").exists())
        result = self.infer(*flags)
        self.assertRegex(result.stderr, "going on after [0-9,]+ examples of many.jsonl.partial")
        with open(self.folder / "many.jsonl", encoding="utf-8") as lines:
            answered = [json.loads(line)["inputs"]["inputs_pretokenized"] for line in lines]
        self.assertEqual(answered, texts)
        self.assertFalse(partial.exists())

    def test_control_c_says_how_to_go_on(self):
        source = self.write("again.txt", (_GOOD + "\n") * 6_000)
        partial = self.folder / "again.jsonl.partial"
        result = programs.run_until(
            "infer", source, self.prompts[0], _LABELS, "--output_file=again.jsonl",
            folder=self.folder,
            reached=lambda: partial.exists() and partial.stat().st_size > 1_000,
            number=signal.SIGINT,
        )  # fmt: skip
        self.assertEqual(result.code, 130, result.stderr)
        self.assertIn("are in again.jsonl.partial; the same command goes on", result.stderr)
        self.assertNotIn("Traceback", result.stderr)

    def test_a_line_is_answered_before_the_input_ends(self):
        with subprocess.Popen(
            programs.command("infer", self.prompts[0], "--input_file=-", _LABELS),
            cwd=self.folder,
            env=programs.environment(self.folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            for text in ("first", "second"):
                process.stdin.write(text + "\n")
                process.stdin.flush()
                record = json.loads(process.stdout.readline())
                self.assertEqual(record["inputs"]["inputs_pretokenized"], text)
            process.stdin.close()
            self.assertEqual(process.wait(timeout=60), os.EX_OK)


if __name__ == "__main__":
    absltest.main()
