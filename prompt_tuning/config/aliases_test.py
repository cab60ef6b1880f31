# SPDX-License-Identifier: Apache-2.0
"""Tests of the names of T5X, SeqIO and upstream prompt-tuning that gin files may use."""

import sys
import types

import gin
import gin.config
from absl.testing import absltest, parameterized

from prompt_tuning.config import aliases

_DYNAMIC = "from __gin__ import dynamic_registration\n"

# Module by module, what upstream's gin files and T5X's run files use.
_PROMISED = {
    "t5x.utils": (
        "DatasetConfig SaveCheckpointConfig RestoreCheckpointConfig CheckpointConfig "
        "create_learning_rate_scheduler"
    ),
    "t5x.models": "EncoderDecoderModel",
    "t5x.partitioning": "PjitPartitioner standard_logical_axis_rules",
    "t5x.adafactor": "Adafactor HParamMap standard_logical_factor_rules",
    "t5x.optimizers": "MultiOptimizer",
    "t5x.trainer": "Trainer EarlyStoppingAction TerminateOnNanAction",
    "t5x.decoding": "beam_search temperature_sample",
    "t5x.checkpoints": "Checkpointer",
    "t5x.gin_utils": "summarize_gin_config sum_fn bool_fn string_split_fn",
    "prompt_tuning.prompts": (
        "Prompt InferenceOnlyPrompt expand_to_batch np_load t5x_load from_array "
        "from_sample_of_embeddings from_embedded_list from_embedded_string"
    ),
    "prompt_tuning.masks": (
        "add_fake_prompt create_prompt_encoder_mask create_prompt_decoder_only_mask"
    ),
    "prompt_tuning.train.prompts": "Prompt prefix_prompt prefix_prompt_after_bos suffix_prompt",
    "prompt_tuning.train.utils": "match_any Checkpointer MultiOptimizer",
    "prompt_tuning.train.optim": "MultiOptimizer standard_logical_factor_rules",
    "prompt_tuning.train.layers": "PromptEncoder PromptEncoderDecoder",
    "prompt_tuning.train.models": "",
    "prompt_tuning.train.partitioning": "standard_logical_axis_rules",
    "seqio": (
        "SentencePieceVocabulary PassThroughVocabulary Evaluator PyLoggingLogger "
        "TensorBoardLogger JSONLogger"
    ),
    "flax.traverse_util": "ModelParamTraversal",
    "flax.linen": "Module",
    "flax.linen.initializers": "uniform normal variance_scaling",
}


class AliasesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(gin.clear_config)

    @parameterized.parameters(*_PROMISED.items())
    def test_promised_names_resolve(self, module, names):
        root, _, last = module.rpartition(".")
        statement = f"from {root} import {last}" if root else f"import {last}"
        with aliases.installed():
            for name in names.split():
                gin.parse_config(f"{_DYNAMIC}{statement} as promised\nX = @promised.{name}\n")
                value = gin.query_parameter("%X").configurable.wrapped
                self.assertTrue(callable(value), name)

    def test_every_target_of_the_table_exists(self):
        for module, targets in aliases.TABLE.items():
            for name, target in targets.items():
                with self.subTest(f"{module}.{name}"):
                    self.assertTrue(callable(aliases.load(target)))

    def test_the_table_wins_and_nothing_heavy_is_read_for_a_name_alone(self):
        before = set(sys.modules)
        with aliases.installed():
            gin.parse_config(_DYNAMIC + "from t5x import partitioning\nimport seqio\n")
        self.assertNotIn("t5x", sys.modules)
        self.assertEqual({m for m in set(sys.modules) - before if m.startswith("seqio")}, set())

    @parameterized.parameters(
        "from t5x import utils as u\nu.DatasetConfig.seed = 3",
        "import t5x.utils\nt5x.utils.DatasetConfig.seed = 3",
        "import t5x.utils as u\nu.DatasetConfig.seed = 3",
    )
    def test_every_form_of_import(self, text):
        with aliases.installed():
            gin.parse_config(_DYNAMIC + text)
            self.assertEqual(gin.query_parameter("DatasetConfig.seed"), 3)

    def test_a_module_that_gin_imports_gets_the_real_names(self):
        """A task module of the user says `import seqio` and means SeqIO."""
        seqio = types.ModuleType("seqio")
        folder = self.create_tempdir()
        folder.create_file("task_of_a_user.py", content="import seqio\n\ndef task():\n  pass\n")
        sys.path.insert(0, folder.full_path)
        self.addCleanup(sys.path.remove, folder.full_path)
        self.enter_context(absltest.mock.patch.dict(sys.modules, {"seqio": seqio}))
        with aliases.installed():
            gin.parse_config(_DYNAMIC + "import seqio\nimport task_of_a_user\n")
        self.assertIs(sys.modules["task_of_a_user"].seqio, seqio)

    def test_gin_is_as_before_afterwards(self):
        with aliases.installed():
            with aliases.installed():
                self.assertIn("__import__", vars(gin.config))
            self.assertIn("__import__", vars(gin.config))
        self.assertNotIn("__import__", vars(gin.config))
        with self.assertRaises(ModuleNotFoundError):
            gin.parse_config(_DYNAMIC + "from t5x import utils\n")

    @parameterized.parameters(
        ("from t5x import util", "there is no such module; did you mean t5x.utils"),
        ("import seqioo", "there is no such module; did you mean seqio"),
        ("from prompt_tuning.train import prompt", "did you mean prompt_tuning.train.prompts"),
        ("from flaxformer.components import embedding", "include prompt_tuning/configs/arch"),
    )
    def test_unknown_module(self, statement, pattern):
        with aliases.installed():
            with self.assertRaisesRegex(aliases.UnknownModuleError, pattern):
                gin.parse_config(f"{_DYNAMIC}{statement}\n")

    def test_a_module_whose_own_import_fails_is_not_called_unknown(self):
        folder = self.create_tempdir()
        folder.create_file("broken_task.py", content="import missing_dependency_of_it\n")
        sys.path.insert(0, folder.full_path)
        self.addCleanup(sys.path.remove, folder.full_path)
        with aliases.installed():
            with self.assertRaisesRegex(ModuleNotFoundError, "missing_dependency_of_it") as caught:
                gin.parse_config(_DYNAMIC + "import broken_task\n")
        self.assertNotIsInstance(caught.exception, aliases.UnknownModuleError)

    def test_an_error_inside_a_module_does_not_look_like_a_missing_name(self):
        with self.assertRaisesRegex(ImportError, "cannot load json:no_such_thing"):
            aliases.load("json:no_such_thing")

    def test_main_has_the_programs_own_names_first(self):
        module = aliases._MODULES["__main__"]
        own = lambda: None
        main = sys.modules["__main__"]
        self.enter_context(absltest.mock.patch.object(main, "train", own, create=True))
        self.assertIs(module.train, own)

    def test_unknown_name_lists_the_nearest(self):
        with self.assertRaisesRegex(AttributeError, "no 'DatasetConfg' here; .*DatasetConfig"):
            _ = aliases._MODULES["t5x.utils"].DatasetConfg


if __name__ == "__main__":
    absltest.main()
