# SPDX-License-Identifier: Apache-2.0
"""Training files in each format, and one of real size."""

import os
import pathlib
import re

import numpy as np
from absl.testing import absltest

from tests.end_to_end import programs, review_files


class OtherFormatsTest(absltest.TestCase):
    """The same rows in another format give the same prompt."""

    def test_same_rows_give_the_same_prompt(self):
        folder = programs.new_folder(type(self))
        prompts = {}
        for ending in ("tsv", "csv", "jsonl", "parquet"):
            flags = review_files.flags(folder, ending, splits=("train",))
            model_dir = folder / f"run_{ending}"
            arguments = (f"--model_dir={model_dir}", "--batch_size=16", "--train_steps=3", *flags)
            result = programs.run("train", *arguments, folder=folder)
            self.assertEqual(result.code, 0, result.stderr)
            prompts[ending] = programs.prompt_path(model_dir, programs.FIRST_STEP + 3).read_bytes()
        self.assertLen(set(prompts.values()), 1)


def _shared_data() -> pathlib.Path:
    given = os.environ.get("PROMPT_TUNING_SHARED_DATA")
    beside = pathlib.Path(os.path.realpath(__file__)).parents[3] / "shared" / "data"
    return pathlib.Path(given) if given else beside


class SentimentTreebankTest(absltest.TestCase):
    def test_trains_on_sst2(self):
        data = _shared_data() / "sst2"
        if not data.is_dir():
            self.skipTest(f"SST-2 is not at {data}: set PROMPT_TUNING_SHARED_DATA.")
        with open(data / "train.tsv", encoding="utf-8") as file:
            header, rows = file.readline(), sum(1 for _ in file)
        self.assertIn("label", header)
        folder = programs.new_folder(type(self))
        result = programs.run(
            "train",
            f"--train_file={data / 'train.tsv'}",
            review_files.LABELS,
            "--train_steps=30",
            f"--model_dir={folder / 'run'}",
            folder=folder,
        )
        self.assertEqual(result.code, 0, result.stderr)
        figures = programs.summary(folder / "run")
        self.assertEqual(figures["train_steps"], 30)
        loss = re.search(r"step 30/30 +loss ([\d.]+)", result.stderr)
        self.assertIsNotNone(loss, result.stderr)
        self.assertTrue(np.isfinite(float(loss[1])))
        before = figures["seconds_to_first_step"]
        print(
            f"SST-2: {rows} rows read, tokenised and first step in {before:.1f} s "
            f"({rows / before:.0f} rows/s), then {figures['examples_per_second']:.0f} rows/s, "
            f"{figures['peak_memory_bytes'] / 1e9:.2f} GB at the peak"
        )


if __name__ == "__main__":
    absltest.main()
