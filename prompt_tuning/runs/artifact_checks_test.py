# SPDX-License-Identifier: Apache-2.0
import dataclasses
import os
import subprocess
import sys
import types
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from data_ops import vocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.checkpoints import base_checkpoint, fingerprint, prompt_artifact
from prompt_tuning.prompts import combine
from prompt_tuning.prompts import prompt as prompts
from prompt_tuning.runs import artifact_checks

_PROMPT = np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32)
_PARAMS = {"encoder/prompt/prompt/prompt": _PROMPT, "encoder/encoder_norm/scale": np.ones(128)}


def _words(extra_ids=100):
    return vocabulary.SentencePieceVocabulary(bundled.vocabulary_path(), extra_ids)


def _model(extra_ids=100, place=combine.prefix_prompt):
    module = types.SimpleNamespace(prompt_factory=lambda: combine.Prompt(prompts.Prompt(3), place))
    return types.SimpleNamespace(module=module, input_vocabulary=_words(extra_ids))


class ArtifactChecksTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        target = base_checkpoint.open_base(bundled.checkpoint_path()).target()
        cls.base = fingerprint.fingerprint(target)
        cls.restore = types.SimpleNamespace(path=bundled.checkpoint_path(), mode="specific")

    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.create_tempdir().full_path, "reviews.tar")
        self.metadata = prompt_artifact.Metadata(
            name="reviews", base_fingerprint=self.base,
            vocabulary_fingerprint=_words().fingerprint, length=3, width=128, base_model="tiny",
        )  # fmt: skip
        prompt_artifact.write(self.path, _PROMPT, self.metadata, "")

    def check(self, **changes):
        settings = {"model": _model(), "base_fingerprint": self.base, "params": _PARAMS}
        artifact_checks.check_prompt_file(self.path, **(settings | changes))

    def check_file(self, **changes):
        settings = {"vocabulary": _words(), "length": 3, "width": 128}
        artifact_checks.check_file(self.path, self.restore, **(settings | changes))

    def test_its_own_model_takes_it(self):
        self.check()
        self.check_file()
        self.assertEqual(artifact_checks.prompt_length(_model()), 3)

    @parameterized.parameters(
        ({"base_fingerprint": "1-other"}, r"base model \(tiny\) 1-\w+, and this is 1-other"),
        ({"model": _model(extra_ids=3)}, r"vocabulary \w{64}, and this is \w{64}"),
        ({"model": _model(place=combine.suffix_prompt)}, "prefix, and this is suffix"),
        ({"params": {"a/prompt/prompt": np.zeros((2, 128))}}, "length 3, and this is 2"),
    )
    def test_another_one_refuses_it(self, changes, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            self.check(**changes)

    def test_another_length_names_both_fingerprints_before_anything_is_loaded(self):
        pattern = (
            f"length 3, and this is 5; its base model .tiny. is {self.base}, as here; its "
            f"vocabulary is {_words().fingerprint}, as here; change --prompt_length"
        )
        with self.assertRaisesRegex(ValueError, pattern):
            self.check_file(length=5)
        with self.assertRaisesRegex(ValueError, r"vocabulary \w{64}, and this is \w{64}; its base"):
            self.check_file(vocabulary=_words(extra_ids=3))

    def test_another_width_is_another_base_model(self):
        wide = dataclasses.replace(self.metadata, width=64, base_fingerprint="1-wide")
        prompt_artifact.write(self.path, _PROMPT[:, :64].copy(), wide, "")
        with self.assertRaisesRegex(ValueError, f"1-wide, and this is {self.base}"):
            self.check_file()

    def test_a_base_model_is_only_read_where_something_differs(self):
        with mock.patch.object(artifact_checks.base_checkpoint, "open_base") as opened:
            self.check_file()
            self.check_file(vocabulary=None, length=None, width=None)
        opened.assert_not_called()

    def test_a_bare_prompt_says_nothing(self):
        path = self.path.replace(".tar", ".npy")
        np.save(path, _PROMPT)
        for name in (None, path):
            artifact_checks.check_prompt_file(name, None, "", {})
            artifact_checks.check_file(name, None, length=7)

    def test_it_needs_no_jax(self):
        code = (
            "import sys\nfrom prompt_tuning.runs import artifact_checks\n"
            "assert 'jax' not in sys.modules\n"
        )
        environment = {"PYTHONPATH": ":".join(sys.path)}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)


if __name__ == "__main__":
    absltest.main()
