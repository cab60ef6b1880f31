# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import pathlib

import numpy as np
from absl.testing import absltest, flagsaver, parameterized

from prompt_tuning.bundled import bundled
from prompt_tuning.checkpoints import prompt_artifact
from tools.artifacts import pack_prompt, toy_prompt_values
from tools.checkpoints import command_line

_BUILT = pathlib.Path("tools/artifacts/toy_prompt.tar")


class PackPromptTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.create_tempdir().full_path)
        np.save(self.root / "p.npy", toy_prompt_values.values())
        self.output = self.root / "toy_prompt.tar"

    def pack(self, *argv, **changes):
        """Exit status, standard output and error."""
        values = {
            "prompt": str(self.root / "p.npy"),
            "output": str(self.output),
            "base_model": [bundled.checkpoint_path()],
            "base_name": "t5_1_1_tiny_world",
            "vocabulary": bundled.vocabulary_path(),
            "extra_ids": 100,
        }
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            with flagsaver.flagsaver(**(values | changes)):
                status = command_line.status(pack_prompt.main, ["pack_prompt", *argv])
        return status, out.getvalue(), err.getvalue()

    def test_what_is_packed(self):
        summary = {
            "task": "reviews",
            "split": "test",
            "accuracy_with_prompt": 0.98,
            "trained_parameters_with_prompt": 512,
            "wall_seconds": 60.0,
        }
        (self.root / "summary.json").write_text(json.dumps(summary))
        status, out, err = self.pack(
            summary=str(self.root / "summary.json"), metrics='{"auc": 1.0}', recipe='{"steps": 3}'
        )
        self.assertEqual(status, 0, err)
        self.assertIn("4 positions of width 128 for t5_1_1_tiny_world", out)
        found = prompt_artifact.read(self.output)
        np.testing.assert_array_equal(found.prompt, toy_prompt_values.values())
        self.assertEqual(found.metadata.name, "toy_prompt")
        self.assertEqual(found.metadata.task, "reviews")
        metrics = {"accuracy_with_prompt": 0.98, "split": "test", "auc": 1.0}
        self.assertEqual(found.metadata.metrics, metrics)
        self.assertEqual(found.metadata.recipe, {"steps": 3})
        for text in ("# toy_prompt", "| auc | 1 |", "| steps | 3 |", "## Nearest pieces"):
            self.assertIn(text, found.card)

    def test_the_same_bytes_again_and_from_the_files_of_the_folder(self):
        self.pack()
        first = self.output.read_bytes()
        self.pack(prompt=str(self.output))  # An artifact is a prompt, too.
        self.assertEqual(self.output.read_bytes(), first)
        folder = pathlib.Path(bundled.checkpoint_path())
        files = [str(file) for file in sorted(folder.rglob("*")) if file.is_file()]
        self.pack(base_model=files)
        self.assertEqual(self.output.read_bytes(), first)

    def test_the_macro_builds_these_bytes(self):
        if not _BUILT.exists():
            self.skipTest(f"{_BUILT} is there under Bazel alone")
        status, _, err = self.pack(
            task="none",
            metrics='{"accuracy": 0.5}',
            recipe=json.dumps({"train_steps": 0, "note": 'it\'s a "toy" for $1'}),
        )
        self.assertEqual(status, 0, err)
        self.assertEqual(self.output.read_bytes(), _BUILT.read_bytes())

    @parameterized.parameters(
        ({"prompt": "none.npy"}, 1, "none.npy does not exist"),
        ({"base_model": ["none"]}, 1, "none does not exist"),
        ({"base_model": ["a/b", "a/c"]}, 1, "2 files, none of them config.json or checkpoint"),
        ({"vocabulary": None}, 1, "set --vocabulary"),
        ({"metrics": "[1]"}, 1, r"--metrics is \[1\]; it must be a JSON object"),
        ({"recipe": "{"}, 1, "--recipe is no JSON"),
        ({"output": "a.zip"}, 2, "must end in .tar"),
        ({"prompt": None}, 2, "--prompt is not set"),
    )
    def test_wrong_input(self, changes, code, pattern):
        status, _, err = self.pack(**changes)
        self.assertEqual(status, code)
        self.assertRegex(err, f"^error: .*{pattern}")
        self.assertFalse(self.output.exists())

    def test_a_prompt_of_another_model(self):
        np.save(self.root / "p.npy", np.zeros((2, 64), np.float32))
        status, _, err = self.pack()
        self.assertEqual(status, 1)
        self.assertRegex(err, "width 64, the base model 128; set --base_model")


if __name__ == "__main__":
    absltest.main()
