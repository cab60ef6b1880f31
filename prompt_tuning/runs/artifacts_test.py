# SPDX-License-Identifier: Apache-2.0
import dataclasses
import os
import types

import numpy as np
from absl.testing import absltest, parameterized

from data_ops import vocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.checkpoints import base_checkpoint, fingerprint, prompt_artifact
from prompt_tuning.prompts import combine
from prompt_tuning.prompts import prompt as prompts
from prompt_tuning.runs import artifacts

_PROMPT = np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32)
_PARAMS = {"encoder/prompt/prompt/prompt": _PROMPT, "encoder/encoder_norm/scale": np.ones(128)}
_FIGURES = {
    "accuracy_with_prompt": 0.9,
    "accuracy_without_prompt": 0.5,
    "trained_parameters_with_prompt": 384,
    "wall_seconds": 3.0,
    "task": "reviews",
    "split": "test",
}


def _model(length=3, width=128, extra_ids=100, place=combine.prefix_prompt):
    module = types.SimpleNamespace(
        config=types.SimpleNamespace(emb_dim=width),
        prompt_factory=lambda: combine.Prompt(prompts.Prompt(length), place),
    )
    pieces = vocabulary.SentencePieceVocabulary(bundled.vocabulary_path(), extra_ids)
    return types.SimpleNamespace(module=module, input_vocabulary=pieces)


class ArtifactsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.create_tempdir().full_path, "reviews.tar")
        target = base_checkpoint.open_base(bundled.checkpoint_path()).target()
        self.base = fingerprint.fingerprint(target)
        self.restore = types.SimpleNamespace(path=bundled.checkpoint_path(), mode="specific")
        self.write()

    def write(self, **changes):
        settings = {
            "trained": {"encoder/prompt/prompt/prompt": _PROMPT},
            "model": _model(),
            "base_fingerprint": self.base,
            "base_model": "tiny",
            "embedding": np.random.default_rng(1).normal(size=(1280, 128)),
            "figures": _FIGURES,
            "recipe": {"train_steps": 150},
        }
        artifacts.write(self.path, **(settings | changes))

    def check(self, **changes):
        settings = {"model": _model(), "base_fingerprint": self.base, "params": _PARAMS}
        artifacts.check_prompt_file(self.path, **(settings | changes))

    def test_what_a_run_emits(self):
        found = prompt_artifact.read(self.path)
        np.testing.assert_array_equal(found.prompt, _PROMPT)
        metadata = dataclasses.asdict(found.metadata)
        expected = {
            "name": "reviews",
            "base_fingerprint": self.base,
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

    def test_its_own_model_takes_it(self):
        self.check()
        artifacts.check_shape(self.path, _model(), self.restore)

    @parameterized.parameters(
        ({"base_fingerprint": "1-other"}, r"base model \(tiny\) 1-\w+, and this is 1-other"),
        ({"model": _model(extra_ids=3)}, r"vocabulary \w{64}, and this is \w{64}"),
        ({"model": _model(place=combine.suffix_prompt)}, "prefix, and this is suffix"),
        ({"params": {"a/prompt/prompt": np.zeros((2, 128))}}, "length 3, and this is 2"),
    )
    def test_another_one_refuses_it(self, changes, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            self.check(**changes)

    def test_another_shape_is_refused_before_anything_is_loaded(self):
        with self.assertRaisesRegex(ValueError, "length 3, and this is 5; .*--prompt_length"):
            artifacts.check_shape(self.path, _model(length=5), self.restore)
        artifact = prompt_artifact.read(self.path)
        wide = dataclasses.replace(artifact.metadata, width=64, base_fingerprint="1-wide")
        prompt_artifact.write(self.path, artifact.prompt[:, :64].copy(), wide, "")
        with self.assertRaisesRegex(ValueError, f"1-wide, and this is {self.base}"):
            artifacts.check_shape(self.path, _model(), self.restore)

    def test_a_bare_prompt_says_nothing(self):
        path = self.path.replace(".tar", ".npy")
        np.save(path, _PROMPT)
        for name in (None, path):
            artifacts.check_prompt_file(name, None, "", {})
            artifacts.check_shape(name, None, None)


if __name__ == "__main__":
    absltest.main()
