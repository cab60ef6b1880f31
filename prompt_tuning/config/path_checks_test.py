# SPDX-License-Identifier: Apache-2.0
"""Tests that missing files are found in the text of a configuration."""

import os

from absl.testing import absltest, parameterized

from prompt_tuning.config import gin_files, gin_flags, path_checks

_CONFIGS = "prompt_tuning/configs"
_TRAIN = ["models/t5_1_1_base_prompt", "prompts/from_class_labels", "runs/prompt_finetune"]
_EVAL = ["models/t5_1_1_base_prompt", "runs/prompt_eval"]
_INFER = ["models/t5_1_1_base_prompt", "runs/prompt_infer"]


class PathChecksTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.create_tempdir().full_path
        for name in ("checkpoint_7", "prompt.npy", "rows.tsv"):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8"):
                pass

    def check(self, files, *bindings):
        paths = [f"{_CONFIGS}/{name}.gin" for name in files]
        bindings = [binding.replace("@DIR", self.folder) for binding in bindings]
        path_checks.check(gin_files.read(paths, bindings, gin_flags.search_paths([])))

    def assert_missing(self, pattern, files, *bindings):
        with self.assertRaisesRegex(FileNotFoundError, pattern):
            self.check(files, *bindings)

    def test_paths_that_are_there(self):
        self.check(_TRAIN, "INITIAL_CHECKPOINT_PATH = '@DIR/checkpoint_7'")
        self.check(_EVAL, "CHECKPOINT_PATH = '@DIR/checkpoint_7'", "PROMPT_FILE = '@DIR/prompt'")

    def test_object_stores_and_unset_macros_are_not_looked_at(self):
        self.check(_TRAIN, "INITIAL_CHECKPOINT_PATH = 'gs://t5-data/checkpoint_1100000'")
        self.check(_TRAIN)

    @parameterized.parameters(
        (_TRAIN, "INITIAL_CHECKPOINT_PATH = '@DIR/checkpoint_8'", "_8 does not .*_7, prompt.npy"),
        (_TRAIN, "utils.RestoreCheckpointConfig.path = ['@DIR/x']", "x does not.*--initial_check"),
        (_EVAL, "CHECKPOINT_PATH = 'no/where'", r"no/where does not.*CHECKPOINT_PATH\)\.$"),
        (_EVAL, "PROMPT_FILE = '@DIR/promt.npy'", "A prompt is an npy file.*--prompt_file"),
        (
            ["models/t5_1_1_base_prompt", "prompts/from_sampled_vocab_numpy"],
            "EMBEDDING_FILE = 'no.npy'",
            "no.npy does not exist.*extract_variable",
        ),
        (_INFER, "INPUT_FILE = 'none.txt'", "no input file none.txt: --input_file"),
        (
            _TRAIN,
            "seqio.SentencePieceVocabulary.sentencepiece_model_file = 'a.model'",
            "no SentencePiece model at 'a.model'; set --vocabulary",
        ),
    )
    def test_missing(self, files, binding, pattern):
        self.assert_missing(pattern, files, binding)

    def test_files_of_the_user_where_they_are_the_task(self):
        task = "MIXTURE_OR_TASK_NAME = 'file_task'"
        self.check(_TRAIN, "TRAIN_FILE = 'none.tsv'", "MIXTURE_OR_TASK_NAME = 'glue_sst2_v002'")
        self.check(_TRAIN, "TRAIN_FILE = '@DIR/rows.tsv'", task)
        missing = "TRAIN_FILE = 'none.tsv'"
        self.assert_missing("no file none.tsv; change --train_file", _TRAIN, missing, task)

    def test_a_path_that_was_replaced_does_not_count(self):
        self.check(
            _EVAL,
            "CHECKPOINT_PATH = 'nowhere'",
            "utils.RestoreCheckpointConfig.path = '@DIR/checkpoint_7'",
        )


if __name__ == "__main__":
    absltest.main()
