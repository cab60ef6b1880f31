# SPDX-License-Identifier: Apache-2.0
"""A HuggingFace folder and a TSV file become a prompt, an adapter, and answers; and back.

The folder holds the bundled model, whose answers under its own name are the reference.
"""

import json

import numpy as np
from absl.testing import absltest, parameterized

from data_ops import vocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.checkpoints import base_checkpoint, huggingface_format, peft_adapter
from tests.end_to_end import programs, review_files
from tools.checkpoints import convert_prompt

_LENGTH = 5
_TEXTS = "a fine film .\nthe plot is awful .\n"
# The bundled model was adapted without EOS on its inputs; other T5s are used with it.
_AS_BUNDLED = ("--gin.INPUTS_EOS=False", "--inputs_length=64", "--targets_length=4")


class BaseModelTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)
        target = base_checkpoint.open_base(bundled.checkpoint_path()).target()
        huggingface_format.write_checkpoint(
            str(cls.folder / "t5"),
            target,
            vocabulary_file=bundled.vocabulary_path(),
            shard_bytes=10**6,
        )
        cls.trained = programs.run(
            "train",
            "--base_model=t5",
            *review_files.flags(cls.folder),
            "--model_dir=run",
            f"--prompt_length={_LENGTH}",
            "--prompt_init=peft_text",
            f"--prompt_string={_TEXTS[:11]}",
            "--train_steps=4",
            "--batch_size=8",
            "--activation_dtype=float32",
            *_AS_BUNDLED,
            folder=cls.folder,
        )
        if cls.trained.code:
            raise RuntimeError(cls.trained.stderr)
        convert_prompt.export_prompts(
            [str(cls.folder / "run")], str(cls.folder / "t5"), str(cls.folder / "adapter")
        )

    def answers(self, *flags):
        found = programs.run(
            "infer",
            "--input_file=-",
            "--activation_dtype=float32",
            *flags,
            folder=self.folder,
            stdin=_TEXTS,
        )
        self.assertEqual(found.code, 0, found.stderr)
        return [(record["prediction"], record["score"]) for record in found.records()]

    def test_the_architecture_is_the_folder_s(self):
        config = (self.folder / "run" / "config.gin").read_text()
        for binding in ("EMBED_DIM = 128", "NUM_ENCODER_LAYERS = 2", "NUM_EMBEDDINGS = 1280"):
            self.assertIn(binding, config)

    def test_the_prompt_starts_as_peft_s_does(self):
        checkpoint = huggingface_format.open_checkpoint(self.folder / "t5")
        table = checkpoint.target()["token_embedder/embedding"].get("float32")
        tokenizer = vocabulary.SentencePieceVocabulary(checkpoint.vocabulary_file, 100)
        ids = np.resize([*tokenizer.encode(_TEXTS[:11]), 1], _LENGTH)
        np.testing.assert_array_equal(programs.prompt(self.folder / "run", 0), table[ids])

    def test_the_adapter_is_the_prompt(self):
        prompt = programs.prompt(self.folder / "run", 4)
        self.assertEqual(prompt.shape, (_LENGTH, 128))
        adapter = peft_adapter.read_adapter(self.folder / "adapter")
        np.testing.assert_array_equal(adapter.prompt(), prompt)
        self.assertEqual(adapter.base_model, str(self.folder / "t5"))

    def test_the_same_answers_by_every_way(self):
        prompt = programs.prompt_path(self.folder / "run", 4)
        same = ("--label_words=", *_AS_BUNDLED)
        expected = self.answers(f"--prompt_file={prompt}", *same)
        self.assertLen(expected, 2)
        for flags in (
            ("--model_dir=run",),
            ("--base_model=t5", "--prompt_file=adapter"),
            ("--initial_checkpoint=t5", "--prompt_file=adapter"),
        ):
            found = self.answers(*flags, *same)
            self.assertEqual([text for text, _ in found], [text for text, _ in expected], flags)
            np.testing.assert_allclose(
                [score for _, score in found], [score for _, score in expected], atol=1e-5
            )

    def test_the_run_remembers_its_model(self):
        flags = json.loads((self.folder / "run" / "flags.json").read_text())
        self.assertEqual(flags["base_model"], str(self.folder / "t5"))

    @parameterized.named_parameters(
        ("twice", ("--base_model=t5", "--model=t5_1_1_base"), "leave --model=t5_1_1_base out"),
        ("nothing", ("--base_model=./no/folder",), "./no/folder does not exist"),
        ("no_model", ("--base_model=run",), "run/checkpoint_4 holds no whole T5"),
        ("vocabulary", ("--base_model=t5", "--vocabulary=none.model"), "none.model.*--vocabulary"),
    )
    def test_refused(self, flags, pattern):
        found = programs.run(
            "infer", *flags, "--prompt_file=adapter", "--input_file=-", folder=self.folder
        )
        self.assertEqual(found.code, 2, found.stderr)
        self.assertRegex(found.stderr, f"^error: .*{pattern}")
        self.assertNotIn("Traceback", found.stderr)


if __name__ == "__main__":
    absltest.main()
