# SPDX-License-Identifier: Apache-2.0
"""Tests of subsample_vocab."""

import os

import numpy as np
from absl.testing import absltest, flagsaver, parameterized

from prompt_tuning.checkpoints import t5x_format
from tools.checkpoints import command_line, subsample_vocab

# Row i is [i, i + 0.5], so that a value tells its row.
_TABLE = np.arange(60, dtype=np.float32)[:, None] + np.array([[0, 0.5]], np.float32)


class SampleRowsTest(parameterized.TestCase):
    def test_rows_are_numpys_draw_from_the_first_ones(self):
        rows = subsample_vocab.sample_rows(_TABLE, 10, 20, seed=42)
        expected = np.random.default_rng(42).choice(20, 10)
        np.testing.assert_array_equal(rows, _TABLE[expected])

    @parameterized.parameters(0, -1)
    def test_without_a_limit_the_draw_is_upstreams(self, population):
        """Upstream draws from the table itself then."""
        rows = subsample_vocab.sample_rows(_TABLE, 10, population, seed=3)
        np.testing.assert_array_equal(rows, np.random.default_rng(3).choice(_TABLE, 10))

    def test_more_rows_than_the_population_repeat(self):
        rows = subsample_vocab.sample_rows(_TABLE, 50, 4, seed=0)
        self.assertLen(rows, 50)
        self.assertEqual(set(rows[:, 0]), {0, 1, 2, 3})

    def test_population_above_the_table(self):
        with self.assertRaisesRegex(ValueError, "60 rows; set --population_size"):
            subsample_vocab.sample_rows(_TABLE, 10, 61, seed=0)

    def test_not_a_table(self):
        with self.assertRaisesRegex(ValueError, r"shape \(3,\); set --embeddings_path"):
            subsample_vocab.sample_rows(np.zeros(3), 10, 0, seed=0)


class ProgramTest(absltest.TestCase):
    def test_writes_the_prompt(self):
        root = self.create_tempdir().full_path
        t5x_format.write_checkpoint(root, 1, {"token_embedder/embedding": _TABLE})
        output = os.path.join(root, "prompt.npy")
        with flagsaver.flagsaver(
            checkpoint_dir=root,
            embeddings_path="token_embedder/embedding",
            output_path=output,
            prompt_length=7,
            population_size=30,
        ):
            self.assertEqual(command_line.status(subsample_vocab.main, ["subsample_vocab"]), 0)
        expected = subsample_vocab.sample_rows(_TABLE, 7, 30, seed=42)
        np.testing.assert_array_equal(np.load(output), expected)

    def test_the_default_table_is_the_prompt(self):
        """Upstream's default; a base checkpoint has none, and the message says what to set."""
        root = self.create_tempdir().full_path
        t5x_format.write_checkpoint(root, 1, {"token_embedder/embedding": _TABLE})
        with flagsaver.flagsaver(checkpoint_dir=root, output_path=os.path.join(root, "p")):
            with self.assertRaisesRegex(ValueError, "set --embeddings_path .*token_embedder"):
                subsample_vocab.main(["subsample_vocab"])


if __name__ == "__main__":
    absltest.main()
