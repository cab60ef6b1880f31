# SPDX-License-Identifier: Apache-2.0
"""Looking at a task, preparing a public one without the network, training on it, comparing prompts."""

import json
import pathlib

from absl.testing import absltest

from prompt_tuning.data import offline_tfds
from tests.end_to_end import programs, review_files

_TASK = "taskless_glue_sst2_v200"
_OTHER_TASK = "task_index_glue_sst2_v200"


class TaskProgramsTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)
        rows = review_files.examples("validation")
        cls.sst2 = cls.folder / "sst2.tsv"
        cls.sst2.write_text(
            "sentence\tlabel\n"
            + "".join(f"{text}\t{int(label == 'positive')}\n" for text, label in rows),
            encoding="utf-8",
        )

    def test_shows_the_users_file(self):
        path = review_files.write(self.folder, "train", "tsv")
        path.write_text(path.read_text() + "no label\n", encoding="utf-8")
        flags = (f"--train_file={path}", review_files.LABELS, "--skip_bad_rows", "--num_examples=2")
        result = programs.run("show_task", *flags, "--inputs_length=12", folder=self.folder)
        self.assertEqual(result.code, 0, result.stderr)
        first, label = review_files.examples("train")[0]
        for text in (
            "file_task, split train: 64 examples, 1 bad rows left out",
            "'negative' 32 (50.0%)",
            "longer than 12 are cut: --inputs_length",
            "tokens of inputs",
            repr(first),
            f"tokens): {label!r}",
            "example 2",
        ):
            self.assertIn(text, result.stdout)
        self.assertNotIn("example 3", result.stdout)
        self.assertEqual(list(self.folder.glob("checkpoint*")), [])

    def test_trains_on_a_public_task_from_local_files(self):
        tfds_dir = self.folder / "tfds"
        for dataset in offline_tfds.parse("glue/sst2:2.0.0"):
            files = {split: str(self.sst2) for split in ("train", "validation")}
            offline_tfds.make(dataset, files, str(tfds_dir))
        model_dir = self.folder / "run"
        flags = (f"--task={_TASK}", f"--tfds_data_dir={tfds_dir}", "--batch_size=8")
        result = programs.run(
            "train", *flags, f"--model_dir={model_dir}", "--train_steps=2", folder=self.folder,
        )  # fmt: skip
        self.assertEqual(result.code, 0, result.stderr)
        # The table is of the split that has labels, and not of the public test split.
        self.assertEqual(programs.summary(model_dir)["split"], "validation")
        self.assertEqual(programs.summary(model_dir)["task"], _TASK)
        self._answer(model_dir, flags)
        self._compare(model_dir, flags)

    def _answer(self, model_dir: pathlib.Path, flags: tuple[str, ...]) -> None:
        """`infer` reads the task's own tokens and decodes what the run's last evaluation did.

        The bundled model's inputs end without EOS, those of this task with one.
        """
        output = self.folder / "answers"
        result = programs.run(
            "infer", f"--model_dir={model_dir}", *flags, "--split=validation",
            f"--output_dir={output}", folder=self.folder,
        )  # fmt: skip
        self.assertEqual(result.code, 0, result.stderr)
        evaluated = model_dir / "inference_eval" / f"{_TASK}-{programs.FIRST_STEP + 2:06}.jsonl"
        expected = [json.loads(line) for line in evaluated.read_text().splitlines()]
        answered = (output / f"{_TASK}-predict.jsonl-00000-of-00001").read_text().splitlines()
        records = [json.loads(line) for line in answered]
        for record, other in zip(records, expected, strict=True):
            for name in ("inputs_pretokenized", "targets_pretokenized"):
                self.assertEqual(record["inputs"][name], other["input"][name])
            self.assertEqual(record["prediction"], other["output"])

    def _compare(self, model_dir: pathlib.Path, flags: tuple[str, ...]) -> None:
        """Two prompts of the run on two tasks, in one command."""
        output = self.folder / "compared"
        prompts = [programs.prompt_path(model_dir, programs.FIRST_STEP + n) for n in (0, 2)]
        result = programs.run(
            "eval", f"--prompts={prompts[0].parent},{prompts[1].parent}", *flags[1:],
            f"--tasks={_TASK},{_OTHER_TASK}", "--split=validation", f"--output_dir={output}",
            "--prompt_length=20", folder=self.folder,
        )  # fmt: skip
        self.assertEqual(result.code, 0, result.stderr)
        results = programs.summary(output)["results"]
        self.assertLen(results, 6)
        self.assertEqual({r["task"] for r in results}, {_TASK, _OTHER_TASK})
        self.assertIn("no prompt", result.stdout)
        for name in (prompts[0].parent.name, prompts[1].parent.name, "no_prompt"):
            self.assertTrue((output / name / "inference_eval" / f"{_TASK}-metrics.jsonl").exists())


if __name__ == "__main__":
    absltest.main()
