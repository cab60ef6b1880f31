# SPDX-License-Identifier: Apache-2.0
"""Tests of T5X's checkpoint settings."""

import dataclasses
import functools

from absl.testing import absltest, parameterized

from prompt_tuning.config import checkpoint_config as config


class CheckpointConfigTest(parameterized.TestCase):
    def test_defaults_are_those_of_t5x(self):
        save = config.SaveCheckpointConfig()
        restore = config.RestoreCheckpointConfig(path="c")
        self.assertEqual(
            (save.dtype, save.period, save.keep, save.save_dataset), ("float32", None, None, False)
        )
        self.assertEqual(
            (restore.mode, restore.strict, restore.fallback_to_scratch, restore.dtype),
            ("latest", True, False, None),
        )
        self.assertEqual(config.CheckpointConfig(), config.CheckpointConfig(None, None))

    def test_fields_are_those_of_t5x(self):
        names = {field.name for field in dataclasses.fields(config.SaveCheckpointConfig)}
        self.assertEqual(
            names,
            set(
                "dtype period checkpoint_steps keep keep_dataset_checkpoints save_dataset "
                "checkpointer_cls state_transformation_fns checkpoint_manager_cls".split()
            ),
        )
        names = {field.name for field in dataclasses.fields(config.RestoreCheckpointConfig)}
        self.assertEqual(
            names,
            set(
                "path mode assignment_map strict fallback_to_scratch dtype restore_dataset "
                "checkpointer_cls state_transformation_fns checkpoint_manager_cls".split()
            ),
        )

    def test_settings_cannot_change(self):
        with self.assertRaises(dataclasses.FrozenInstanceError):
            config.SaveCheckpointConfig().period = 3

    def test_numpy_paths_come_from_the_checkpointer(self):
        self.assertEqual(config.SaveCheckpointConfig().save_paths, ())
        checkpointer = functools.partial(config.NumpyPromptCheckpointer, [".*/prompt/.*"])
        save = config.SaveCheckpointConfig(checkpointer_cls=checkpointer)
        self.assertEqual(save.save_paths, (".*/prompt/.*",))

    @parameterized.parameters(
        ({"dtype": "float23"}, "did you mean float32"),
        ({"dtype": "float16"}, "accepted are 'float32', 'bfloat16', None"),
        ({"period": 0}, "utils.SaveCheckpointConfig.period"),
        ({"keep": -1}, "SaveCheckpointConfig.keep is -1"),
        ({"keep_dataset_checkpoints": 1.5}, "keep_dataset_checkpoints is 1.5"),
        ({"checkpoint_steps": [1, -2]}, "checkpoint_steps has -2"),
        ({"state_transformation_fns": [len]}, "Remove the binding"),
        ({"checkpoint_manager_cls": dict}, "T5X's native format"),
    )
    def test_wrong_save_settings(self, arguments, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            config.SaveCheckpointConfig(**arguments)

    @parameterized.parameters(
        ({"path": ""}, "INITIAL_CHECKPOINT_PATH"),
        ({"path": None}, "--initial_checkpoint"),
        ({"path": ["a", ""]}, "must be the path"),
        ({"path": "a", "mode": "lastest"}, "did you mean latest"),
        ({"path": "a", "dtype": "int8"}, "accepted are 'float32', 'float16', 'bfloat16'"),
        ({"path": "a", "assignment_map": [("a",)]}, "a pair"),
        ({"path": "a", "assignment_map": [("(", None)]}, "not a regular expression"),
        ({"path": "a", "state_transformation_fns": [len]}, "use assignment_map"),
        ({"path": "a", "checkpoint_manager_cls": dict}, "recognised by file"),
    )
    def test_wrong_restore_settings(self, arguments, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            config.RestoreCheckpointConfig(**arguments)

    def test_good_restore_settings(self):
        rules = ((r"^.*prompt.*$", None), ("a/(.*)", r"b/\1"))
        restore = config.RestoreCheckpointConfig(["a", "b"], "specific", rules)
        self.assertEqual(restore.assignment_map, rules)

    @parameterized.parameters((".*", "must be a list"), (["["], "not a regular expression"))
    def test_wrong_regexes(self, paths, pattern):
        with self.assertRaisesRegex(ValueError, f"Checkpointer.save_paths .*{pattern}"):
            config.NumpyPromptCheckpointer(paths)


if __name__ == "__main__":
    absltest.main()
