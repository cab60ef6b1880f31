# SPDX-License-Identifier: Apache-2.0
"""Tests that arguments read from the source are those that Python has."""

import inspect

from absl.testing import absltest, parameterized

from prompt_tuning.config import aliases, gin_files, gin_flags, signatures

_CONFIGS = "prompt_tuning/configs"
_FILES = [f"{_CONFIGS}/models/t5_1_1_base_prompt.gin", f"{_CONFIGS}/runs/prompt_finetune.gin"]


def _names() -> list[tuple[str, str]]:
    return [(module, name) for module, names in aliases.TABLE.items() for name in names]


class ArgumentsTest(parameterized.TestCase):
    def test_the_whole_table_agrees_with_python(self):
        told = 0
        for module, name in _names():
            found = signatures.arguments(module, name)
            if found is None:
                continue
            told += 1
            target = aliases.load(aliases.TABLE[module][name])
            parameters = inspect.signature(target).parameters
            with self.subTest(f"{module}.{name}"):
                self.assertCountEqual(found, parameters)
        self.assertGreater(told, len(_names()) // 2)

    @parameterized.parameters(*aliases.ENTRY_POINTS)
    def test_entry_points(self, name):
        parameters = inspect.signature(aliases.load(aliases.ENTRY_POINTS[name])).parameters
        self.assertEqual(signatures.arguments("__main__", name), tuple(parameters))

    def test_methods(self):
        method = "EncoderDecoderModel.predict_batch_with_aux"
        found = signatures.arguments("t5x.models", method)
        if found is not None:
            self.assertIn("num_decodes", found)
            self.assertNotIn("self", found)

    @parameterized.parameters(
        ("flax.linen.initializers", "uniform"), ("no.module", "x"), ("t5x.utils", "no_name")
    )
    def test_unknown(self, module, name):
        self.assertIsNone(signatures.arguments(module, name))


class CheckArgumentsTest(parameterized.TestCase):
    def check(self, *bindings, files=_FILES):
        paths = gin_flags.search_paths(["."])
        signatures.check_arguments(gin_files.read(files, bindings, paths))

    @parameterized.parameters(*gin_files.shipped_files())
    def test_the_shipped_files_are_right(self, path):
        self.check(files=[path])

    @parameterized.parameters(
        ("utils.SaveCheckpointConfig.perod = 3", "'perod'; did you mean period"),
        ("prompts.Prompt.lenght = 3", "'lenght'; did you mean length"),
        ("train_script.train.total_step = 3", "did you mean total_steps"),
        ("train/utils.DatasetConfig.sead = 3", "did you mean seed"),
        ("network.T5Config.emb_dimm = 3", "did you mean emb_dim"),
    )
    def test_a_misspelt_argument(self, binding, pattern):
        with self.assertRaisesRegex(
            ValueError, f"the command line: .* has no parameter named .*{pattern}"
        ):
            self.check(binding)

    def test_in_a_file_the_place_is_told(self):
        text = (
            "from __gin__ import dynamic_registration\nfrom t5x import utils as u\n"
            "u.create_learning_rate_scheduler.factor = 'constant'\n"
        )
        path = self.create_tempfile("a.gin", text).full_path
        with self.assertRaisesRegex(ValueError, "a.gin:3: .* did you mean factors"):
            self.check(files=[path])

    def test_what_is_right_or_not_ours_passes(self):
        self.check(
            "utils.SaveCheckpointConfig.period = 3",
            "prompt_init/initializers.uniform.scale = 1",
            "train.use_orbax = False",
        )


if __name__ == "__main__":
    absltest.main()
