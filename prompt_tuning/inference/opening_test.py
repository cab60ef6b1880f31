# SPDX-License-Identifier: Apache-2.0
import os

import numpy as np
from absl.testing import absltest, parameterized

from data_ops import vocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.checkpoints import base_checkpoint, fingerprint, prompt_artifact
from prompt_tuning.inference import compilations, opening, requests

H = bundled.SIZES["emb_dim"]
LABELS = ["positive", "negative"]


class OpenPredictorTest(parameterized.TestCase):
    def path(self, name, length, seed=0):
        path = os.path.join(self.create_tempdir().full_path, f"{name}.npy")
        np.save(path, np.random.RandomState(seed).normal(size=(length, H)).astype(np.float32))
        return path

    def open(self, prompts, **options):
        return opening.open_predictor(
            bundled.checkpoint_path(), bundled.vocabulary_path(), prompts,
            max_prompt_length=8, inputs_length=16, batch_size=4, **options,
        )  # fmt: skip

    def test_prompts_by_name_and_one_more_without_a_compilation(self):
        made = self.open({"a": self.path("a", 5), "b": self.path("b", 3, 1)})
        rows = [requests.Request("a fine film .", name) for name in ("a", "b", "new", None)]
        scores = list(made.score_labels_stream(rows, LABELS))
        self.assertFalse(np.allclose(scores[0], scores[1]))
        self.assertEqual([s.kind for s in scores[2:]], ["unknown_prompt"] * 2)
        with compilations.counted() as compiled:
            made.prompts.load("new", self.path("new", 8, 2))
            scores = list(made.score_labels_stream(rows[:3], LABELS))
        self.assertEmpty(compiled)
        self.assertEqual(scores[2].shape, (2,))

    def test_one_prompt_need_not_be_named(self):
        made = self.open({"only": self.path("only", 4)})
        named = made.score_labels([requests.Request("good .", "only")], LABELS)
        np.testing.assert_array_equal(made.score_labels(["good ."], LABELS), named)

    def artifact(self, **changes):
        target = base_checkpoint.open_base(bundled.checkpoint_path()).target()
        words = vocabulary.SentencePieceVocabulary(bundled.vocabulary_path(), 100)
        values = {
            "base_fingerprint": fingerprint.fingerprint(target),
            "vocabulary_fingerprint": words.fingerprint,
        }
        metadata = prompt_artifact.Metadata(name="a", length=4, width=H, **(values | changes))
        path = os.path.join(self.create_tempdir().full_path, "a.tar")
        prompt_artifact.write(path, np.load(self.path("a", 4)), metadata, "# a\n")
        return path

    def test_an_artifact_of_this_model_and_vocabulary_is_its_prompt(self):
        made = self.open({"packed": self.artifact(), "bare": self.path("a", 4)})
        rows = [requests.Request("good .", name) for name in ("packed", "bare")]
        packed, bare = made.score_labels(rows, LABELS)
        np.testing.assert_array_equal(packed, bare)

    @parameterized.parameters(
        ({"base_fingerprint": "1-other"}, "for the base model 1-other, and this is 1-[0-9a-f]{32}"),
        ({"vocabulary_fingerprint": "other"}, "for the vocabulary other, and this is"),
        ({"placement": "suffix"}, "for the placement suffix, and this is prefix"),
    )
    def test_an_artifact_of_another_is_refused(self, changes, pattern):
        with self.assertRaisesRegex(ValueError, f"a.tar was trained {pattern}"):
            self.open({"a": self.artifact(**changes), "b": self.path("b", 3)})
        made = self.open({"b": self.path("b", 3)})
        with self.assertRaisesRegex(ValueError, f"a.tar was trained {pattern}"):
            made.prompts.load("a", self.artifact(**changes))
        made.prompts.load("good", self.artifact())
        self.assertEqual(made.prompts.names, ("b", "good"))

    def test_a_longer_prompt_makes_room(self):
        self.assertEqual(self.open({"a": self.path("a", 11)}).prompts.max_length, 11)

    def test_a_checkpoint_without_its_vocabulary(self):
        with self.assertRaisesRegex(ValueError, "comes without a vocabulary"):
            opening.open_predictor(bundled.checkpoint_path())


if __name__ == "__main__":
    absltest.main()
