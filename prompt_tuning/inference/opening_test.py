# SPDX-License-Identifier: Apache-2.0
import os

import numpy as np
from absl.testing import absltest

from prompt_tuning.bundled import bundled
from prompt_tuning.inference import compilations, opening, requests

H = bundled.SIZES["emb_dim"]
LABELS = ["positive", "negative"]


class OpenPredictorTest(absltest.TestCase):
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

    def test_a_longer_prompt_makes_room(self):
        self.assertEqual(self.open({"a": self.path("a", 11)}).prompts.max_length, 11)

    def test_a_checkpoint_without_its_vocabulary(self):
        with self.assertRaisesRegex(ValueError, "comes without a vocabulary"):
            opening.open_predictor(bundled.checkpoint_path())


if __name__ == "__main__":
    absltest.main()
