# SPDX-License-Identifier: Apache-2.0
import dataclasses
import os
import types

import numpy as np
from absl.testing import absltest

from data_ops import vocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.checkpoints import prompt_artifact
from prompt_tuning.prompts import combine
from prompt_tuning.prompts import prompt as prompts
from prompt_tuning.runs import artifacts

_PROMPT = np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32)
_FIGURES = {
    "accuracy_with_prompt": 0.9,
    "accuracy_without_prompt": 0.5,
    "trained_parameters_with_prompt": 384,
    "wall_seconds": 3.0,
    "task": "reviews",
    "split": "test",
}


def _model():
    module = types.SimpleNamespace(prompt_factory=lambda: combine.Prompt(prompts.Prompt(3)))
    pieces = vocabulary.SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)
    return types.SimpleNamespace(module=module, input_vocabulary=pieces)


class ArtifactsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.create_tempdir().full_path, "reviews.tar")
        self.write()

    def write(self, **changes):
        settings = {
            "trained": {"encoder/prompt/prompt/prompt": _PROMPT},
            "model": _model(),
            "base_fingerprint": "1-base",
            "base_model": "tiny",
            "embedding": np.random.default_rng(1).normal(size=(1280, 128)),
            "figures": _FIGURES,
            "recipe": {"train_steps": 150},
        }
        artifacts.write(self.path, **(settings | changes))

    def test_what_a_run_emits(self):
        found = prompt_artifact.read(self.path)
        np.testing.assert_array_equal(found.prompt, _PROMPT)
        metadata = dataclasses.asdict(found.metadata)
        expected = {
            "name": "reviews",
            "base_fingerprint": "1-base",
            "vocabulary_fingerprint": _model().input_vocabulary.fingerprint,
            "placement": "prefix",
            "task": "reviews",
            "metrics": {
                "accuracy_with_prompt": 0.9,
                "accuracy_without_prompt": 0.5,
                "split": "test",
            },
            "recipe": {"train_steps": 150},
        }
        self.assertEqual(metadata | expected, metadata)
        self.assertIn("## Nearest pieces", found.card)

    def test_a_run_that_trained_something_else(self):
        with self.assertRaisesRegex(ValueError, "trained a, b; .*--artifact_file"):
            self.write(trained={"a": _PROMPT, "b": _PROMPT})


if __name__ == "__main__":
    absltest.main()
