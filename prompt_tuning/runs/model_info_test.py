# SPDX-License-Identifier: Apache-2.0
import os

import numpy as np
from absl.testing import absltest

from prompt_tuning.runs import model_info

PARAMS = {
    "token_embedder/embedding": np.zeros((384, 16), np.float32),
    "encoder/prompt/prompt/prompt": np.zeros((7, 16), np.float32),
    "scalar": np.zeros((), np.float32),
}


class ModelInfoTest(absltest.TestCase):
    def test_one_line_each_with_totals(self):
        lines = model_info.text(PARAMS, {"encoder/prompt/prompt/prompt"}).splitlines()
        self.assertEqual([line.split()[0] for line in lines[:3]], ["trainable", "frozen", "frozen"])
        self.assertIn("112", lines[0])
        self.assertIn("(7, 16)", lines[0])
        self.assertEqual(lines[-2], "trainable parameters: 112")
        self.assertEqual(lines[-1], "frozen parameters: 6,145")

    def test_written_whole_and_nothing_else(self):
        folder = self.create_tempdir().full_path
        model_info.write(folder, PARAMS, ())
        self.assertEqual(os.listdir(folder), [model_info.FILE])
        with open(os.path.join(folder, model_info.FILE)) as file:
            self.assertEqual(file.read(), model_info.text(PARAMS, ()))


if __name__ == "__main__":
    absltest.main()
