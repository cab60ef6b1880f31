# SPDX-License-Identifier: Apache-2.0
"""Where TensorFlow is loaded and where it is not: it costs seconds and hundreds of megabytes.

Only the programs that read tasks need it. Each case is a fresh interpreter, which tells what it
has loaded when it ends.
"""

import json
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.bundled import bundled
from tests.end_to_end import programs, review_files

_HEAVY = ("tensorflow", "seqio", "tensorflow_datasets")
_MARK = "loaded: "
_TELL = f"""
import atexit, json, sys
@atexit.register
def tell():
    loaded = [name for name in {_HEAVY!r} if name in sys.modules]
    print({_MARK!r} + json.dumps(loaded), file=sys.stderr)
"""
_IMPORT = _TELL + "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
_START = (
    _TELL
    + "import runpy\nsys.argv[:] = sys.argv[1:]\nrunpy.run_path(sys.argv[0], None, '__main__')\n"
)


def _modules(folder: str, left_out: tuple[str, ...] = ()) -> list[str]:
    """The modules of a folder, without tests."""
    names = sorted(path.stem for path in (programs.ROOT / folder).glob("*.py"))
    package = folder.replace("/", ".")
    return [
        f"{package}.{name}"
        for name in names
        if not name.endswith("_test") and not name.startswith("_") and name not in left_out
    ]


class TensorFlowFreeTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)
        review_files.write(cls.folder, "test", "tsv")
        np.save(cls.folder / "prompt.npy", np.zeros((20, bundled.SIZES["emb_dim"]), np.float32))

    def loaded(self, result: programs.Result, code: int = 0) -> list[str]:
        self.assertEqual(result.code, code, result.stderr)
        *_, last = result.stderr.splitlines()
        self.assertStartsWith(last, _MARK)
        return json.loads(last.removeprefix(_MARK))

    def started(self, program: str, *flags: str, code: int = 0) -> list[str]:
        _, path, *arguments = programs.command(program, *flags)
        result = programs.run_code(_START, path, *arguments, folder=self.folder)
        return self.loaded(result, code)

    @parameterized.parameters(
        ("data_ops", ("seqio_vocabulary",)),
        ("prompt_tuning/checkpoints",),
        ("prompt_tuning/config",),
        ("prompt_tuning/inference",),
        ("prompt_tuning/models",),
        ("prompt_tuning/prompts",),
        ("prompt_tuning/training",),
        ("prompt_tuning/bundled",),
    )
    def test_package(self, folder, left_out=()):
        modules = _modules(folder, left_out)
        self.assertNotEmpty(modules)
        result = programs.run_code(_IMPORT, *modules, folder=self.folder)
        self.assertEmpty(self.loaded(result))

    @parameterized.parameters(*_modules("tools/checkpoints"))
    def test_tool(self, module):
        # One by one: each defines its own flags.
        self.assertEmpty(self.loaded(programs.run_code(_IMPORT, module, folder=self.folder)))

    def test_files_and_vocabulary_in_use(self):
        code = _TELL + (
            "from data_ops import vocabulary\n"
            "from prompt_tuning.bundled import bundled\n"
            "from prompt_tuning.data import file_task\n"
            "rows = file_task.read_examples(sys.argv[1], file_task.RowFormat())\n"
            "words = vocabulary.SentencePieceVocabulary(bundled.vocabulary_path(), 100)\n"
            "assert words.decode(words.encode(rows.inputs[0])) == rows.inputs[0]\n"
            "assert (words.tokenizer.encode_padded(rows.inputs, 32) > 0).any()\n"
        )
        self.assertEmpty(self.loaded(programs.run_code(code, "test.tsv", folder=self.folder)))

    @parameterized.parameters("train", "eval", "infer")
    def test_help_and_mistakes(self, program):
        self.assertEmpty(self.started(program, "--help"))
        self.assertEmpty(self.started(program, "--no_such_flag", code=2))
        self.assertEmpty(self.started(program, "--gin.NO_SUCH_MACRO=1", code=2))
        self.assertEmpty(self.started(program, "--gin_file=none.gin", code=2))

    @parameterized.parameters((), ("--label_words=negative,positive",))
    def test_infer_on_text(self, *flags):
        common = ("--prompt_file=prompt.npy", "--text_column=text", "--output_file=out.jsonl")
        self.assertEmpty(self.started("infer", "--input_file=test.tsv", *common, *flags))
        answers = pathlib.Path(self.folder / "out.jsonl").read_text().splitlines()
        self.assertLen(answers, review_files.SIZES["test"])
        mistake = ("--input_file=none.tsv", *common, *flags)
        self.assertEmpty(self.started("infer", *mistake, code=2))

    @parameterized.parameters("prompt_tuning.runs.train_run", "prompt_tuning.runs.eval_run")
    def test_training_and_evaluation_load_it_for_their_tasks(self, module):
        # Not a wish but the way it is: when this changes, so may the documentation.
        found = self.loaded(programs.run_code(_IMPORT, module, folder=self.folder))
        self.assertContainsSubset({"tensorflow", "seqio"}, found)


if __name__ == "__main__":
    absltest.main()
