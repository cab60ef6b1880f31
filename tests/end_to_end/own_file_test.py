# SPDX-License-Identifier: Apache-2.0
"""A user's own labelled file: trained on, evaluated, and new texts answered."""

import gzip
import json
import math
import os
import pathlib
import shlex
import shutil

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.bundled import bundled
from tests.end_to_end import programs, review_files

_STEPS, _PERIOD = 20, 10
_LAST = programs.FIRST_STEP + _STEPS
_SHORT = [f"--train_steps={_STEPS}", f"--eval_period={_PERIOD}", f"--checkpoint_period={_PERIOD}"]
_LABELS = review_files.LABELS

# In every summary.json, whatever the task.
_FIGURES = frozenset(
    (
        "accuracy_without_prompt",
        "accuracy_with_prompt",
        "prompt_parameters",
        "model_parameters",
        "prompt_bytes",
        "train_steps",
        "steps_per_second",
        "examples_per_second",
        "peak_memory_bytes",
        "wall_seconds",
        "seconds_to_first_step",
    )
)


class OwnFileTest(parameterized.TestCase):
    """One run on a TSV file, and what is done with its prompt."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)
        cls.model_dir = cls.folder / "my run"
        cls.files = review_files.flags(cls.folder)
        cls.trained = cls.train(cls.model_dir, *cls.files)
        if cls.trained.code:
            raise RuntimeError(cls.trained.stderr)

    @classmethod
    def train(cls, model_dir, *flags: str) -> programs.Result:
        return programs.run(
            "train",
            f"--model_dir={model_dir}",
            "--batch_size=16",
            *_SHORT,
            *flags,
            folder=cls.folder,
        )

    def infer(self, *flags: str, stdin: str = "") -> programs.Result:
        arguments = (f"--model_dir={self.model_dir}", *flags)
        result = programs.run("infer", *arguments, folder=self.folder, stdin=stdin)
        self.assertEqual(result.code, 0, result.stderr)
        return result

    def test_summary_has_every_figure(self):
        figures = programs.summary(self.model_dir)
        self.assertContainsSubset(_FIGURES, figures)
        for name in _FIGURES:
            self.assertIsInstance(figures[name], int | float, name)
            self.assertTrue(math.isfinite(figures[name]), name)
        length = 20
        self.assertEqual(figures["prompt_parameters"], length * bundled.SIZES["emb_dim"])
        self.assertEqual(figures["prompt_bytes"], 4 * figures["prompt_parameters"])
        self.assertGreater(figures["model_parameters"], 1_000_000)
        self.assertEqual(figures["train_steps"], _STEPS)
        self.assertGreater(figures["steps_per_second"], 0)
        self.assertAlmostEqual(figures["examples_per_second"], 16 * figures["steps_per_second"])
        self.assertGreater(figures["peak_memory_bytes"], 100 << 20)
        self.assertBetween(figures["seconds_to_first_step"], 0, figures["wall_seconds"])
        self.assertGreater(figures["accuracy_with_prompt"], figures["accuracy_without_prompt"])

    def test_table_says_what_the_summary_says(self):
        figures = programs.summary(self.model_dir)
        for title, suffix in (("no prompt", "without_prompt"), ("with the prompt", "with_prompt")):
            row = next(line for line in self.trained.stdout.splitlines() if title in line)
            self.assertIn(f"{figures[f'accuracy_{suffix}']:.3f}", row)
        self.assertIn("2,560 parameters, 10.2 kB", self.trained.stdout)

    def test_next_command_can_be_pasted(self):
        last = self.trained.stdout.splitlines()[-1]
        self.assertEqual(
            shlex.split(last)[-2:], [f"--model_dir={self.model_dir}", "--input_file=-"]
        )

    def test_numpy_prompts_have_upstreams_names(self):
        found = sorted(path.relative_to(self.model_dir) for path in self.model_dir.rglob("*prompt"))
        steps = range(programs.FIRST_STEP, _LAST + 1, _PERIOD)
        expected = [
            pathlib.Path("numpy_checkpoints", f"checkpoint_{step}", programs.PROMPT)
            for step in steps
        ]
        self.assertEqual([path for path in found if path.parts[0] == "numpy_checkpoints"], expected)
        prompts = [programs.prompt(self.model_dir, step) for step in steps]
        for prompt in prompts:
            self.assertEqual((prompt.shape, prompt.dtype), ((20, 128), np.float32))
        self.assertFalse(np.array_equal(prompts[0], prompts[-1]))

    def test_run_is_described_in_the_folder(self):
        self.assertIn("TRAIN_FILE", (self.model_dir / "config.gin").read_text())
        self.assertIn(
            "encoder/prompt/prompt/prompt", (self.model_dir / "model-info.txt").read_text()
        )
        metrics = (self.model_dir / "inference_eval" / "file_task-metrics.jsonl").read_text()
        steps = [json.loads(line)["step"] for line in metrics.splitlines()]
        self.assertEqual(steps, [programs.FIRST_STEP + _PERIOD, _LAST])

    def test_evaluation_agrees_with_training(self):
        trained = programs.summary(self.model_dir)
        output = self.folder / "evaluated"
        for flag in (f"--model_dir={self.model_dir}", f"--prompt_file={self._prompt_file()}"):
            arguments = (flag, f"--output_dir={output}", "--test_file=test.tsv", _LABELS)
            result = programs.run("eval", *arguments, folder=self.folder)
            self.assertEqual(result.code, 0, result.stderr)
            evaluated = programs.summary(output)
            for name in ("accuracy", "auc", "exact_match"):
                for suffix in ("with_prompt", "without_prompt"):
                    figure = f"{name}_{suffix}"
                    self.assertAlmostEqual(evaluated[figure], trained[figure], places=6, msg=figure)
        self.assertLen((output / "eval.file_task.ckpt").read_text().splitlines(), 2)

    def _prompt_file(self) -> pathlib.Path:
        """The trained prompt by the name that a person would give it."""
        return shutil.copy(programs.prompt_path(self.model_dir, _LAST), self.folder / "mine.npy")

    def test_labels_of_lines(self):
        examples = review_files.examples("test")
        lines = self.folder / "lines.txt"
        lines.write_text("".join(text + "\n" for text, _ in examples), encoding="utf-8")
        result = self.infer(f"--input_file={lines}", _LABELS)
        records = result.records()
        self.assertEqual(
            [r["inputs"]["inputs_pretokenized"] for r in records], [t for t, _ in examples]
        )
        for record in records:
            self.assertEqual(set(record), {"inputs", "prediction", "label_scores"})
            scores = record["label_scores"]
            self.assertEqual(set(scores), {"negative", "positive"})
            self.assertEqual(record["prediction"], max(scores, key=scores.get))
            self.assertLess(max(scores.values()), 0)
        right = [r["prediction"] == label for r, (_, label) in zip(records, examples, strict=True)]
        accuracy = programs.summary(self.model_dir)["accuracy_with_prompt"]
        self.assertAlmostEqual(np.mean(right), accuracy, places=6)
        piped = self.infer("--input_file=-", _LABELS, stdin=lines.read_text(encoding="utf-8"))
        self.assertEqual(piped.stdout, result.stdout)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_decoded_answers_of_lines(self):
        texts = [text for text, _ in review_files.examples("test")[:5]]
        records = self.infer("--input_file=-", stdin="\n".join(texts)).records()
        self.assertLen(records, len(texts))
        for record, text in zip(records, texts, strict=True):
            self.assertEqual(record["inputs"], {"inputs_pretokenized": text})
            self.assertIsInstance(record["prediction"], str)
            self.assertNotEmpty(record["prediction"])

    @parameterized.parameters("tsv", "csv", "jsonl", "tsv.gz")
    def test_rows_of_a_file_give_the_same_answers(self, ending):
        kind = ending.removesuffix(".gz")
        source = review_files.write(self.folder, "validation", kind)
        path = self.folder / f"rows.{ending}"
        packed = (
            gzip.compress(source.read_bytes()) if ending.endswith(".gz") else source.read_bytes()
        )
        path.write_bytes(packed)
        output = self.folder / f"answers_{ending}" / "answers.jsonl"
        result = self.infer(
            f"--input_file={path}", "--text_column=text", _LABELS, f"--output_file={output}"
        )
        self.assertEqual(result.stdout, "")
        records = [json.loads(line) for line in output.read_text().splitlines()]
        texts = [text for text, _ in review_files.examples("validation")]
        self.assertEqual([r["inputs"]["inputs_pretokenized"] for r in records], texts)
        self.assertContainsSubset({"negative", "positive"}, records[0]["label_scores"])
        self.assertEqual(os.listdir(output.parent), [output.name])

    def test_no_lines_give_no_answers(self):
        result = self.infer("--input_file=-", _LABELS)
        self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    absltest.main()
