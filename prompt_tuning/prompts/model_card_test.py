# SPDX-License-Identifier: Apache-2.0
import numpy as np
from absl.testing import absltest

from prompt_tuning.checkpoints import prompt_artifact
from prompt_tuning.prompts import model_card

_METADATA = prompt_artifact.Metadata(
    name="reviews",
    base_fingerprint="1-abc",
    vocabulary_fingerprint="def",
    length=2,
    width=3,
    task="a | b",
    metrics={"accuracy_with_prompt": 0.123456},
    recipe={"train_steps": 150},
)
_EMBEDDING = np.eye(3, dtype=np.float32)
_PROMPT = np.array([[0, 5, 0], [3, 0, 0]], np.float32)


class ModelCardTest(absltest.TestCase):
    def card(self, metadata=_METADATA, embedding=_EMBEDDING):
        return model_card.model_card(metadata, _PROMPT, embedding, lambda row: "▁abc|"[row + 1 :])

    def test_says_what_the_metadata_say(self):
        card = self.card()
        for text in (
            "# reviews\n",
            "2 positions of width 3",
            "| base fingerprint | 1-abc |",
            "| vocabulary fingerprint | def |",
            "| task | a \\| b |",
            "| accuracy with prompt | 0.1235 |",
            "| train steps | 150 |",
            "--prompt_file=reviews.tar",
        ):
            self.assertIn(text, card)

    def test_nearest_pieces(self):
        lines = self.card().splitlines()
        self.assertTrue(any(line.startswith("| 0 | 5 | `bc\\|` 1.00, ") for line in lines), lines)
        self.assertTrue(any(line.startswith("| 1 | 3 | `abc\\|` 1.00, ") for line in lines), lines)

    def test_without_an_embedding_and_without_figures(self):
        bare = prompt_artifact.Metadata("p", "1", "2", 2, 3)
        card = self.card(bare, None)
        for title in ("Metrics", "Recipe", "Nearest"):
            self.assertNotIn(title, card)
        self.assertIn("| base model | not named |", card)

    def test_the_same_card_each_time(self):
        self.assertEqual(self.card(), self.card())


if __name__ == "__main__":
    absltest.main()
