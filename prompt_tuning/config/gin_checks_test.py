# SPDX-License-Identifier: Apache-2.0
"""Tests of what is found in gin files without importing what they name."""

from absl.testing import absltest, parameterized

from prompt_tuning.config import gin_checks, gin_files

_DYNAMIC = "from __gin__ import dynamic_registration\n"
_RUN = _DYNAMIC + "import __main__ as train_script\ntrain_script.train.model_dir = %MODEL_DIR\n"
_FLAGS = {"MODEL_DIR": "--model_dir=DIR"}


class GinChecksTest(parameterized.TestCase):
    def statements(self, files: dict[str, str], bindings=()) -> gin_files.Statements:
        """Reads `{path: text}` and then bindings."""
        folder = self.create_tempdir()
        paths = [folder.create_file(name, content=text).full_path for name, text in files.items()]
        return gin_files.read(paths, bindings)

    def check(self, files, bindings=(), entry_point=None):
        gin_checks.check(self.statements(files, bindings), entry_point, _FLAGS)

    def assert_error(self, pattern, *args, **kwargs):
        with self.assertRaisesRegex(ValueError, pattern):
            self.check(*args, **kwargs)

    @parameterized.parameters(
        ("prompt_tuning/configs/models/t5_1_1_base_prompt.gin", "models"),
        ("/x/configs/architectures/a.gin", "models"),
        ("configs/prompts/from_file.gin", "prompts"),
        ("configs/models/sizes/base.gin", "sizes"),
        ("configs/models/decoding/beam_search.gin", "decoding"),
        ("t5x/configs/runs/finetune.gin", "runs"),
        ("experiments/mine.gin", None),
        ("mine.gin", None),
        (None, None),
    )
    def test_group_by_folder(self, path, group):
        self.assertEqual(gin_checks.group_of(path), group)

    def test_sizes_before_models(self):
        self.assert_error(
            "sizes/base.gin is listed before .*models/t5.gin, which sets NUM_HEADS again; "
            "list the files in the order models, prompts, sizes, decoding, runs",
            {
                "sizes/base.gin": _DYNAMIC + "NUM_HEADS = 12\n",
                "models/t5.gin": _DYNAMIC + "NUM_HEADS = %gin.REQUIRED\n",
            },
        )

    def test_prompts_before_models(self):
        imports = "from prompt_tuning import prompts\n"
        self.assert_error(
            "prompts/labels.gin is listed before .*which sets prompts.Prompt.prompt_init again",
            {
                "prompts/labels.gin": _DYNAMIC + imports + "prompts.Prompt.prompt_init = 1\n",
                "models/t5.gin": _DYNAMIC + imports + "prompts.Prompt.prompt_init = 2\n",
            },
        )

    def test_the_same_thing_under_two_names_is_the_same_thing(self):
        self.assert_error(
            "wrong order",
            {
                "runs/a.gin": _DYNAMIC + "from t5x import utils\nutils.DatasetConfig.seed = 1\n",
                "models/b.gin": _DYNAMIC + "from t5x import utils as u\nu.DatasetConfig.seed = 2\n",
            },
        )

    def test_orders_that_are_right(self):
        text = _DYNAMIC + "A = {}\n"
        for order in (
            ["models/m.gin", "prompts/p.gin", "sizes/s.gin", "runs/r.gin"],
            ["mine/m.gin", "models/m.gin", "runs/r.gin", "other/m.gin"],
        ):
            self.check({name: text.format(i) for i, name in enumerate(order)})
        # Nothing is overridden, so nothing is wrong.
        self.check({"runs/r.gin": _DYNAMIC + "A = 1\n", "models/m.gin": _DYNAMIC + "B = 1\n"})

    def test_required_macro_by_name_with_what_to_write(self):
        self.assert_error(
            "^MODEL_DIR is not set: pass --model_dir=DIR or --gin.MODEL_DIR=\"'DIR'\"$",
            {"a.gin": _RUN + "MODEL_DIR = %gin.REQUIRED\n"},
        )

    def test_several_required_at_once(self):
        self.assert_error(
            'EMBED_DIM, MODEL_DIR are not set: pass --gin.EMBED_DIM="N"; --model_dir=DIR or ',
            {"a.gin": _RUN + "MODEL_DIR = %gin.REQUIRED\nEMBED_DIM = %gin.REQUIRED\n"},
        )

    def test_required_argument(self):
        self.assert_error(
            "utils.DatasetConfig.split is not set: pass --gin.utils.DatasetConfig.split=",
            {
                "a.gin": _DYNAMIC
                + "from t5x import utils\nutils.DatasetConfig.split = %gin.REQUIRED\n"
            },
        )

    def test_required_that_is_set_later(self):
        self.check({"a.gin": _RUN + "MODEL_DIR = %gin.REQUIRED\n"}, ["MODEL_DIR = 'x'"], "train")

    def test_unbound_macro(self):
        self.assert_error(
            r"MODEL_DIR is not set, and train_script.train.model_dir \(.*a.gin:3\) needs it: pass "
            "--model_dir=DIR or .*; did you mean MODEL_DRI",
            {"a.gin": _RUN + "MODEL_DRI = 'x'\n"},
        )

    def test_unbound_macro_deep_in_a_value(self):
        self.assert_error(
            "DEPTH is not set, and utils.DatasetConfig.split",
            {
                "a.gin": _DYNAMIC
                + "from t5x import utils\nutils.DatasetConfig.split = [{'a': (1, %DEPTH)}]\n"
            },
        )

    def test_unbound_macro_of_a_value_that_is_replaced(self):
        self.check({"a.gin": _DYNAMIC + "A = %DEPTH\n"}, ["A = 1"])

    def test_unknown_macro_on_the_command_line(self):
        self.assert_error(
            "no gin file uses the macro MODEL_DRI that --gin sets; did you mean MODEL_DIR",
            {"a.gin": _RUN + "MODEL_DIR = 'x'\n"},
            ["MODEL_DRI = 'y'"],
        )

    def test_unknown_macro_inside_a_value_of_the_command_line(self):
        self.assert_error(
            r"HOMME is not set, and MODEL_DIR \(the command line\) needs it: .*; did you mean HOME",
            {"a.gin": _RUN + "MODEL_DIR = 'x'\nHOME = '/'\n"},
            ["MODEL_DIR = %HOMME"],
        )

    def test_selectors_of_the_command_line_match_by_their_end(self):
        files = {
            "a.gin": _RUN
            + "MODEL_DIR = 'x'\nfrom prompt_tuning.train import prompts as train_prompts\n"
            + "PROMPT = @train_prompts.Prompt\n"
        }
        for good in ("train.a", "train_script.train.a", "train_prompts.Prompt.b", "Prompt.b"):
            self.check(files, [f"{good} = 1"])
        for bad, near in (("prompts.Prompt", "train_prompts.Prompt"), ("trian", "train")):
            pattern = f"names '{bad}', whose c --gin sets; did you mean {near}"
            self.assert_error(pattern, files, [f"{bad}.c = 1"])

    @parameterized.parameters(
        ("from t5x import util", "'t5x.util', and there is no such module; did you mean t5x.utils"),
        ("import no_such_package", "'no_such_package', and there is no such module$"),
        ("from flaxformer import t5", "'flaxformer.t5', and Flaxformer's classes are not part"),
        ("from prompt_tuning.models import netwrk", "'prompt_tuning.models.netwrk', and there is"),
        ("from prompt_tuning.train import prompt", "'prompt_tuning.train.prompt', .*train.prompts"),
    )
    def test_unknown_module(self, statement, pattern):
        files = {"a.gin": _DYNAMIC + statement + "\n"}
        self.assert_error(rf"a.gin:2: gin imports {pattern}", files)

    @parameterized.parameters("json.decoder", "prompt_tuning.models.network", "seqio", "jax")
    def test_modules_that_exist(self, module):
        self.check({"a.gin": _DYNAMIC + f"import {module}\n"})

    def test_unknown_name_of_a_known_module(self):
        self.assert_error(
            "a.gin:3: t5x.utils has no 'DatasetConfg' here; did you mean DatasetConfig",
            {"a.gin": _DYNAMIC + "from t5x import utils\nutils.DatasetConfg.seed = 1\n"},
        )

    def test_no_entry_point(self):
        self.assert_error(
            r"do not configure 'evaluate' \(they configure train\); add .*runs/prompt_eval.gin",
            {"a.gin": _RUN + "MODEL_DIR = 'x'\n"},
            entry_point="evaluate",
        )
        self.assert_error(
            "do not configure 'train'; add .*prompt_finetune.gin as the last file",
            {"a.gin": _DYNAMIC + "A = 1\n"},
            entry_point="train",
        )

    @parameterized.parameters(
        ("MODEL_DIR", True),
        ("MODEL", False),
        ("utils.DatasetConfig.seed", True),
        ("train/utils.DatasetConfig.seed", True),
        ("utils.SaveCheckpointConfig.keep", False),
        ("train.baseline", True),
    )
    def test_has_key(self, key, expected):
        statements = self.statements(
            {
                "a.gin": _RUN
                + "from t5x import utils\nMODEL_DIR = 1\nutils.DatasetConfig.split = 'a'\n"
            },
            ["MODEL = 1"],  # The command line knows nothing by itself.
        )
        self.assertEqual(gin_checks.has_key(statements, key), expected)


if __name__ == "__main__":
    absltest.main()
