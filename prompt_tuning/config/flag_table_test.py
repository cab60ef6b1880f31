# SPDX-License-Identifier: Apache-2.0
"""Tests of the table of flags: what each sets is an interface that scripts depend on."""

import gin
import hypothesis
from absl.testing import absltest, parameterized
from hypothesis import strategies

from prompt_tuning.config import flag_table, infer_flags

_TRAIN = {
    "model": (),
    "model_dir": ("MODEL_DIR",),
    "base_model": ("INITIAL_CHECKPOINT_PATH", "CHECKPOINT_PATH"),
    "initial_checkpoint": ("INITIAL_CHECKPOINT_PATH", "CHECKPOINT_PATH"),
    "vocabulary": ("seqio.SentencePieceVocabulary.sentencepiece_model_file",),
    "task": ("MIXTURE_OR_TASK_NAME",),
    "train_file": ("TRAIN_FILE", "FINAL_EVAL_SPLIT", "MIXTURE_OR_TASK_NAME"),
    "validation_file": ("VALIDATION_FILE", "FINAL_EVAL_SPLIT", "MIXTURE_OR_TASK_NAME"),
    "test_file": ("TEST_FILE", "FINAL_EVAL_SPLIT", "MIXTURE_OR_TASK_NAME"),
    "text_column": ("TEXT_COLUMNS",),
    "label_column": ("LABEL_COLUMN",),
    "label_words": ("LABEL_WORDS", "CLASS_LABELS"),
    "input_template": ("INPUT_TEMPLATE",),
    "prompt_length": ("PROMPT_LENGTH",),
    "prompt_init": (),
    "prompt_file": ("PROMPT_FILE", "START_FILE"),
    "artifact_file": ("ARTIFACT_FILE",),
    "prompt_string": ("PROMPT_STRING",),
    "train_steps": ("TRAIN_STEPS_RELATIVE", "TRAIN_STEPS"),
    "batch_size": ("BATCH_SIZE",),
    "learning_rate": ("utils.create_learning_rate_scheduler.base_learning_rate",),
    "seed": ("RANDOM_SEED", "train/utils.DatasetConfig.seed"),
    "dropout_rate": ("DROPOUT_RATE",),
    "activation_dtype": ("ACTIVATION_DTYPE",),
    "inputs_length": ("INPUTS_LENGTH",),
    "targets_length": ("TARGETS_LENGTH",),
    "eval_period": ("EVAL_PERIOD",),
    "checkpoint_period": ("utils.SaveCheckpointConfig.period",),
    "keep": ("utils.SaveCheckpointConfig.keep",),
    "baseline": ("BASELINE",),
    "skip_bad_rows": ("SKIP_BAD_ROWS",),
    "label_scores_per_token": ("LABEL_SCORES_PER_TOKEN",),
    "best_metric": ("BEST_METRIC",),
    "early_stopping": ("EARLY_STOPPING",),
}


def _flags(program: str) -> dict[str, flag_table.FriendlyFlag]:
    return {flag.name: flag for flag in flag_table.TABLE if program in flag.programs}


class FlagTableTest(parameterized.TestCase):
    def test_what_the_flags_of_training_set(self):
        found = {
            name: tuple(target.key for target in flag.targets)
            for name, flag in _flags(flag_table.TRAIN).items()
        }
        self.assertEqual(found, _TRAIN)

    def test_what_the_others_have_beside_or_instead(self):
        train, evaluate, infer = (set(_flags(program)) for program in flag_table.ALL)
        self.assertEqual(evaluate - train, {"output_dir", "prompts", "split", "tasks"})
        self.assertEqual(infer - evaluate, {flag.name for flag in infer_flags.TABLE})
        self.assertIn("train_steps", train - evaluate)

    @parameterized.parameters(*flag_table.ALL)
    def test_a_program_has_each_name_once(self, program):
        names = [flag.name for flag in flag_table.TABLE if program in flag.programs]
        self.assertLen(set(names), len(names))

    def test_models(self):
        self.assertEqual(flag_table.MODELS[0], "bundled")
        self.assertLen(flag_table.MODELS, 11)
        self.assertContainsSubset({"t5_1_1_small", "t5_1_1_xxl", "mt5_base"}, flag_table.MODELS)

    def test_help_says_default_and_macro(self):
        for flag in flag_table.TABLE:
            with self.subTest(flag.name):
                self.assertIn(
                    flag.kind, ("string", "integer", "float", "boolean", "list", "strings")
                )
                self.assertTrue(flag.help.endswith("."), flag.help)
                self.assertFalse(flag.default.endswith("."), flag.default)
                self.assertIn(f"Default: {flag.default}. Macro: {flag.macro}.", flag.full_help)

    @parameterized.parameters(
        ("model_dir", "--model_dir=DIR"),
        ("prompt_file", "--prompt_file=FILE"),
        ("vocabulary", "--vocabulary=FILE"),
        ("initial_checkpoint", "--initial_checkpoint=PATH"),
        ("train_steps", "--train_steps=N"),
        ("learning_rate", "--learning_rate=X"),
        ("label_words", "--label_words=A,B"),
        ("task", "--task=NAME"),
    )
    def test_example_in_messages(self, name, expected):
        self.assertEqual(_flags(flag_table.TRAIN)[name].example, expected)

    @hypothesis.given(strategies.text())
    @hypothesis.settings(max_examples=200, deadline=None)
    def test_any_text_reaches_gin_unchanged(self, value):
        """Quotes, backslashes and line ends in a path must not become gin syntax."""
        target = _flags(flag_table.TRAIN)["model_dir"].targets[0]
        self.assertEqual(gin.config.parse_value(target.text(value)), value)

    @hypothesis.given(strategies.lists(strategies.text()))
    @hypothesis.settings(max_examples=100, deadline=None)
    def test_any_list_reaches_gin_unchanged(self, words):
        target = _flags(flag_table.TRAIN)["label_words"].targets[0]
        self.assertEqual(gin.config.parse_value(target.text(words)), words)

    @parameterized.parameters((["text"], ["text"]), (["0", "b1"], [0, "b1"]), (["-1"], ["-1"]))
    def test_columns_by_number(self, given, expected):
        target = _flags(flag_table.TRAIN)["text_column"].targets[0]
        self.assertEqual(gin.config.parse_value(target.text(given)), expected)


if __name__ == "__main__":
    absltest.main()
