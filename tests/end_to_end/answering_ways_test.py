# SPDX-License-Identifier: Apache-2.0
"""The infer program's ways to answer, each in processes of its own: slow."""

import numpy as np
from absl.testing import absltest

from tests.end_to_end import prompted_runs

_GOOD, _LABELS = prompted_runs.GOOD, prompted_runs.LABELS


class AnsweringWaysTest(prompted_runs.PromptedRunsTest):
    def test_ensemble_is_the_mean_of_its_members(self):
        members = [
            self.infer(flag, "--input_file=-", _LABELS, stdin=_GOOD).records()[0]["label_scores"]
            for flag in self.prompts
        ]
        flags = (*self.prompts, "--ensemble", "--input_file=-", _LABELS)
        joined = self.infer(*flags, stdin=_GOOD).records()[0]
        for label, score in joined["label_scores"].items():
            self.assertAlmostEqual(score, np.mean([m[label] for m in members]), delta=1e-3)

    def test_samples_follow_their_seed(self):
        text = "\n".join([_GOOD] * 6)
        flags = (self.prompts[0], "--input_file=-", "--temperature=2.0", "--num_decodes=2")

        def answers(*more):
            return [r["prediction"] for r in self.infer(*flags, *more, stdin=text).records()]

        first = answers()
        self.assertGreater(len(set(first)), 1)
        self.assertEqual(answers(), first)
        self.assertNotEqual(answers("--sampling_seed=1"), first)

    def test_a_gin_file_decides_how_many_beams(self):
        self.write("gin.txt", _GOOD)
        names = ("models/bundled_prompt", "models/decoding/beam_search", "runs/bundled_infer")
        files = [f"--gin_file=prompt_tuning/configs/{name}.gin" for name in names]
        settings = {"PROMPT_FILE": "b.npy", "PROMPT_LENGTH": 7, "INPUT_FILE": "gin.txt"}
        settings |= {"ALL_DECODES": True, "INFER_OUTPUT_DIR": None}
        flags = [f"--gin.{macro}={value!r}" for macro, value in settings.items()]
        self.assertLen(self.infer(*files, *flags).records()[0]["others"], 3)

    def test_labels_of_a_file(self):
        labels = ["negative", "positive", "neither good nor bad", "good"]
        self.write("labels.txt", "\n".join(labels))
        common = (self.prompts[0], "--input_file=-", "--targets_length=16")
        best = self.infer(*common, "--label_file=labels.txt", stdin=_GOOD).records()[0]
        ranked = self.infer(*common, f"--label_words={','.join(labels)}", stdin=_GOOD).records()[0]
        self.assertEqual(best["prediction"], ranked["prediction"])
        self.assertAlmostEqual(best["score"], max(ranked["label_scores"].values()), delta=1e-3)

    def test_a_complete_shard_is_left_alone(self):
        flags = ("--prompt_file=a.npy", "--output_dir=shards", "--num_shards=400", "--shard_id=3")
        self.infer(*flags)
        names = [f"bundled_reviews-predict.jsonl-00003-of-00400{end}" for end in ("", ".COMPLETED")]
        found = sorted(path.name for path in (self.folder / "shards").glob("*jsonl*"))
        self.assertEqual(found, names)
        path = self.folder / "shards" / names[0]
        before = path.stat().st_mtime_ns
        self.assertIn("is complete", self.infer(*flags).stderr)
        self.assertEqual(path.stat().st_mtime_ns, before)
        self.infer(*flags, "--num_decodes=2")
        self.assertGreater(path.stat().st_mtime_ns, before)


if __name__ == "__main__":
    absltest.main()
