# SPDX-License-Identifier: Apache-2.0
"""Tests of the flags with plain names: what they bind, and which gin files stand for a model."""

import os

from absl import flags
from absl.testing import absltest, parameterized

from prompt_tuning.config import flag_table, friendly_flags, gin_checks, gin_files

_CONFIGS = "prompt_tuning/configs"


def _statements(entry_point: str, **given) -> gin_files.Statements:
    return gin_files.read(friendly_flags.default_files(entry_point, given))


def _bindings(entry_point: str, **given) -> list[str]:
    return friendly_flags.bindings(entry_point, given, _statements(entry_point, **given))


class FriendlyFlagsTest(parameterized.TestCase):
    def test_flags_of_training(self):
        self.assertEqual(
            set(friendly_flags.flags_of("train")),
            set(
                "model model_dir base_model initial_checkpoint vocabulary prompt_length prompt_init "
                "prompt_file prompt_string label_words train_steps batch_size learning_rate seed "
                "dropout_rate activation_dtype inputs_length targets_length eval_period "
                "checkpoint_period keep train_file validation_file test_file text_column "
                "label_column input_template skip_bad_rows label_scores_per_token best_metric "
                "early_stopping baseline artifact_file task".split()
            ),
        )

    @parameterized.parameters("train", "evaluate", "infer")
    def test_every_flag_has_its_macro_in_the_files_of_some_model(self, entry_point):
        """A flag whose macro no shipped file has would be an error whenever it is used."""
        starts = {"prompt_file": "file", "prompt_string": "string"}
        for name, flag in friendly_flags.flags_of(entry_point).items():
            for model in (flag_table.BUNDLED, "t5_1_1_base"):
                given = {"model": model, "prompt_init": starts.get(name, "class_labels")}
                statements = _statements(entry_point, **given)
                known = [t for t in flag.targets if gin_checks.has_key(statements, t.key)]
                self.assertTrue(known or not flag.targets, f"--{name} with {model}")

    @parameterized.parameters("train", "evaluate", "infer")
    def test_definition_and_help(self, entry_point):
        values = flags.FlagValues()
        friendly_flags.define_flags(entry_point, values)
        values(["program"])
        for name, flag in friendly_flags.flags_of(entry_point).items():
            self.assertIsNone(values[name].value)
            self.assertRegex(values[name].help, r"Default: .+\. Macro: .+\.(;|$)")
            self.assertTrue(flag.example.startswith(f"--{name}="))

    @parameterized.parameters(*flag_table.MODELS)
    def test_files_of_every_model(self, model):
        for entry_point in flag_table.ALL:
            for path in friendly_flags.default_files(entry_point, {"model": model}):
                self.assertTrue(os.path.isfile(gin_files.REPOSITORY_ROOT / path), path)

    @parameterized.parameters(
        ({}, ["models/bundled_prompt", "prompts/from_sampled_vocab", "runs/bundled_demo"]),
        (
            {"label_words": ["a"]},
            ["models/bundled_prompt", "prompts/from_class_labels", "runs/bundled_demo"],
        ),
        ({"prompt_init": "uniform"}, ["models/bundled_prompt", "runs/bundled_demo"]),
        (
            {"base_model": "t5", "label_words": ["a"]},
            [
                "models/t5_1_1_prompt",
                "prompts/from_class_labels",
                "runs/prompt_finetune",
                "runs/paper_recipe",
            ],
        ),
        (
            {"model": "mt5_xl", "prompt_file": "p"},
            [
                "models/mt5_xl_prompt",
                "prompts/from_file",
                "runs/prompt_finetune",
                "runs/paper_recipe",
            ],
        ),
    )
    def test_files_of_training_in_the_order_gin_needs(self, given, expected):
        files = friendly_flags.default_files("train", given)
        self.assertEqual(files, [f"{_CONFIGS}/{name}.gin" for name in expected])
        gin_checks.check_order(gin_files.read(files))

    @parameterized.parameters(
        ({"model": "t5_base"}, "--model=t5_base is not known; did you mean .*t5_1_1_base"),
        ({"prompt_init": "class_label"}, "did you mean class_labels"),
    )
    def test_unknown_choice(self, given, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            friendly_flags.default_files("train", given)

    @parameterized.parameters(
        ({"model_dir": "a b"}, ["MODEL_DIR = 'a b'"]),
        ({"train_steps": 5}, ["TRAIN_STEPS_RELATIVE = 5", "TRAIN_STEPS = None"]),
        ({"seed": 0}, ["RANDOM_SEED = 0", "train/utils.DatasetConfig.seed = 0"]),
        ({"text_column": ["a", "2"]}, ["TEXT_COLUMNS = ['a', 2]"]),
        (
            {"label_words": ["no", "a b"]},
            ["LABEL_WORDS = ['no', 'a b']", "CLASS_LABELS = ['no', 'a b']"],
        ),
        ({"learning_rate": 0.1}, ["utils.create_learning_rate_scheduler.base_learning_rate = 0.1"]),
        (
            {"train_file": "t"},
            ["TRAIN_FILE = 't'", "FINAL_EVAL_SPLIT = None", "MIXTURE_OR_TASK_NAME = 'file_task'"],
        ),
        (
            {"task": "t", "validation_file": "v", "test_file": "f"},
            [
                "MIXTURE_OR_TASK_NAME = 't'",
                "VALIDATION_FILE = 'v'",
                "FINAL_EVAL_SPLIT = 'test'",
                "TEST_FILE = 'f'",
            ],
        ),
    )
    def test_bindings_of_training(self, given, expected):
        self.assertEqual(_bindings("train", **given), expected)

    @parameterized.parameters(
        (
            "evaluate",
            {"model_dir": "runs/a/"},
            ["PROMPT_FILE = 'runs/a/'", "EVAL_OUTPUT_DIR = 'runs/a/eval'"],
        ),
        (
            "infer",
            {"model_dir": "a", "output_dir": "o", "prompt_file": "p"},
            ["PROMPT_FILE = 'p'", "INFER_OUTPUT_DIR = 'o'"],
        ),
        ("evaluate", {"batch_size": 4}, ["utils.DatasetConfig.batch_size = 4"]),
        ("evaluate", {"initial_checkpoint": "c"}, ["CHECKPOINT_PATH = 'c'"]),
        (
            "infer",
            {"input_file": "-"},
            [
                "INPUT_FILE = '-'",
                "TEST_FILE = '-'",
                "MIXTURE_OR_TASK_NAME = 'file_task'",
                "INFER_OUTPUT_DIR = None",
            ],
        ),
    )
    def test_bindings_of_the_others(self, entry_point, given, expected):
        self.assertEqual(_bindings(entry_point, **given), expected)

    def test_a_flag_without_effect_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "--prompt_string has no effect: .*PROMPT_STRING"):
            _bindings("train", prompt_init="uniform", prompt_string="a")

    def test_flags_of_rows_beside_a_task_that_has_its_own(self):
        check = friendly_flags.check_files_are_read
        for name, value in (
            ("train_file", "t"),
            ("input_template", "{a}"),
            ("skip_bad_rows", True),
        ):
            given = {"task": "taskless_glue_sst2_v200", name: value}
            with self.assertRaisesRegex(ValueError, f"--{name} has no effect: .*=taskless_glue_ss"):
                check("train", given)
            # An evaluation has them from the run that it evaluates.
            check("evaluate", given)
            check("train", {**given, "task": "file_task"})
            check("train", {name: value})
        check("train", {"task": "taskless_glue_sst2_v200", "label_words": ["a", "b"]})

    def test_a_prompt_without_a_name_beside_those_with_one(self):
        friendly_flags.check_answers({"prompt": ["a=x"], "prompt_file": None})
        friendly_flags.check_answers({"prompt": [], "prompt_file": "x"})
        with self.assertRaisesRegex(
            ValueError, "--prompt_file=x would not be used.*--default_prom"
        ):
            friendly_flags.check_answers({"prompt": ["a=x"], "prompt_file": "x"})

    def test_labels_in_two_forms(self):
        friendly_flags.check_answers({"label_words": ["a", "b"], "label_file": None})
        friendly_flags.check_answers({"label_words": [], "label_file": "x"})
        with self.assertRaisesRegex(
            ValueError, "--label_file=x and --label_words both.* leave out"
        ):
            friendly_flags.check_answers({"label_words": ["a", "b"], "label_file": "x"})

    def test_a_folder_for_the_answers_to_a_file(self):
        friendly_flags.check_answers({"input_file": "-", "output_dir": None})
        with self.assertRaisesRegex(ValueError, "--output_dir=x is for .* a task.*--output_file"):
            friendly_flags.check_answers({"input_file": "-", "output_dir": "x"})

    @parameterized.parameters("nan", "inf", "-inf")
    def test_a_number_that_gin_cannot_spell(self, text):
        with self.assertRaisesRegex(ValueError, f"--learning_rate is {text}; it must be a finite"):
            _bindings("train", learning_rate=float(text))

    @parameterized.parameters("model", "prompt_init")
    def test_flags_that_choose_files_beside_files(self, name):
        friendly_flags.check_no_file_flags({"model_dir": "x", name: None})
        with self.assertRaisesRegex(ValueError, f"--{name} chooses gin files"):
            friendly_flags.check_no_file_flags({name: "x"})

    def test_flags_that_messages_name(self):
        named = friendly_flags.flag_of_macro("train")
        self.assertEqual(named["MODEL_DIR"], "--model_dir=DIR")
        self.assertEqual(named["INITIAL_CHECKPOINT_PATH"], "--initial_checkpoint=PATH")
        self.assertEqual(named["TRAIN_STEPS"], "--train_steps=N")
        self.assertEqual(named["CLASS_LABELS"], "--label_words=A,B")
        self.assertEqual(friendly_flags.flag_of_macro("infer")["PROMPT_FILE"], "--model_dir=DIR")

    def test_the_demonstration_gets_a_folder_of_its_own(self):
        self.assertTrue(friendly_flags.is_demonstration("train", {}))
        self.assertEqual(friendly_flags.final_split("train", {}), [])
        self.assertEqual(friendly_flags.final_split("train", {"task": "bundled_reviews"}), [])
        self.assertEqual(friendly_flags.final_split("evaluate", {"task": "cola"}), [])
        found = friendly_flags.final_split("train", {"task": "cola"})
        self.assertEqual(found, ["FINAL_EVAL_SPLIT = None"])
        self.assertTrue(friendly_flags.is_demonstration("train", {"model": "bundled"}))
        self.assertFalse(friendly_flags.is_demonstration("train", {"model": "t5_1_1_xl"}))
        self.assertFalse(friendly_flags.is_demonstration("train", {"base_model": "t5"}))
        self.assertFalse(friendly_flags.is_demonstration("infer", {}))
        early, late = (friendly_flags.new_run_dir(lambda now=now: now) for now in (1e9, 1e9 + 1))
        self.assertLess(early, late)
        self.assertStartsWith(early, "prompt_tuning_runs/bundled-2001")


if __name__ == "__main__":
    absltest.main()
