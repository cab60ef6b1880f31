# SPDX-License-Identifier: Apache-2.0
"""Tests of making settings from the text of gin files."""

import subprocess
import sys

from absl.testing import absltest, parameterized

from prompt_tuning.config import (
    checkpoint_config,
    dataset_config,
    early_settings,
    gin_files,
    gin_flags,
)

_FILES = ("models/t5_1_1_base_prompt", "prompts/from_class_labels", "runs/prompt_finetune")
_PROMPT = "prompt_tuning.prompts.prompt:Prompt"
_DATASET = "prompt_tuning.config.dataset_config:DatasetConfig"
_VALUES = (
    "MIXTURE_OR_TASK_NAME = 'file_task'",
    "TASK_FEATURE_LENGTHS = {'inputs': 16, 'targets': 4}",
    "INITIAL_CHECKPOINT_PATH = 'gs://b/checkpoint_1'",
    "TRAIN_FILE = 'rows.tsv'",
    "LABEL_WORDS = ['no', 'yes']",
    "MODEL_DIR = 'm'",
    "TRAIN_STEPS = 7",
)


def _read(files, bindings) -> early_settings.EarlySettings:
    paths = [f"prompt_tuning/configs/{name}.gin" for name in files]
    return early_settings.EarlySettings(
        gin_files.read(paths, bindings, gin_flags.search_paths(["."]))
    )


class EarlySettingsTest(parameterized.TestCase):
    def settings(self, *bindings):
        return _read(_FILES, [*_VALUES, *bindings]).entry_point("train")

    def test_what_training_is_given(self):
        found = self.settings()
        self.assertEqual((found["model_dir"], found["total_steps"]), ("m", 7))
        config = found["train_dataset_cfg"]
        self.assertIsInstance(config, dataset_config.DatasetConfig)
        self.assertEqual((config.split, config.batch_size, config.shuffle), ("train", 128, True))
        self.assertEqual(config.file_task.train_file, "rows.tsv")
        self.assertEqual(config.file_task.label_words, ("no", "yes"))
        restore = found["checkpoint_cfg"].restore
        self.assertIsInstance(restore, checkpoint_config.RestoreCheckpointConfig)
        self.assertEqual(restore.assignment_map, ((r"^.*prompt.*$", None),))

    def test_what_needs_jax_is_left_out(self):
        self.assertNoCommonElements(self.settings(), ("model", "trainer_cls"))
        made = _read(_FILES, _VALUES).make("prompt_tuning.models.models:EncoderDecoderModel")
        self.assertIs(made, early_settings.UNKNOWN)

    def test_scopes_and_the_command_line_win_as_in_gin(self):
        found = self.settings(
            "utils.DatasetConfig.batch_size = 5",
            "train/utils.DatasetConfig.seed = 9",
            "infer_eval/utils.DatasetConfig.batch_size = 6",
        )
        # The files bind batch_size in each scope, which is more than no scope.
        self.assertEqual(found["train_dataset_cfg"].batch_size, 128)
        self.assertEqual(found["train_dataset_cfg"].seed, 9)
        self.assertEqual(found["infer_eval_dataset_cfg"].batch_size, 6)

    @parameterized.parameters(
        ("BATCH_SIZE = 0", "batch_size is 0.*BATCH_SIZE"),
        ("utils.SaveCheckpointConfig.keep = 0", "keep is 0"),
        ("utils.RestoreCheckpointConfig.mode = 'lates'", "did you mean latest"),
        ("EVALUATOR_NUM_EXAMPLES = 0", None),
    )
    def test_settings_check_themselves(self, binding, pattern):
        if pattern is None:  # A class that is handed on, not made.
            self.assertIn("inference_evaluator_cls", self.settings(binding))
            return
        with self.assertRaisesRegex(ValueError, pattern):
            self.settings(binding)

    def test_a_class_that_is_handed_on_can_be_made(self):
        made = self.settings("EVALUATOR_NUM_EXAMPLES = 3")["inference_evaluator_cls"]()
        self.assertEqual(made.num_examples, 3)

    def test_arguments_of_what_is_not_made(self):
        found = _read(_FILES, ["PROMPT_LENGTH = 7"])
        self.assertEqual(found.arguments(_PROMPT)["length"], 7)
        self.assertCountEqual(found.scopes(_DATASET), ["", "train", "train_eval", "infer_eval"])
        self.assertIs(found.macro("NO_SUCH"), early_settings.UNKNOWN)

    def test_macros_that_need_each_other_are_unknown(self):
        found = _read(_FILES, ["PROMPT_LENGTH = %NUM_HEADS", "NUM_HEADS = %PROMPT_LENGTH"])
        self.assertIs(found.macro("NUM_HEADS"), early_settings.UNKNOWN)

    def test_nothing_heavy_is_loaded(self):
        code = (
            "import sys\n"
            "from prompt_tuning.config import early_settings_test as t\n"
            "t._read(t._FILES, t._VALUES).entry_point('train')\n"
            "assert not {'jax', 'tensorflow', 'seqio'} & set(sys.modules)\n"
        )
        subprocess.run(
            [sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)}
        )


if __name__ == "__main__":
    absltest.main()
