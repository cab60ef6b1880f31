# SPDX-License-Identifier: Apache-2.0
import numpy as np
from absl.testing import absltest

from prompt_tuning.data import fixture_tfds, task_table

_SST2 = "sentence\tlabel\nfine\t1\ndull and long\t0\n"


class PerceptronTest(fixture_tfds.TfdsTestCase):
    files = {"glue/sst2:2.0.0": {"train": _SST2, "validation": _SST2}}

    def test_answers_are_columns(self):
        encode = fixture_tfds.vocabulary().encode
        examples = self.examples("glue_sst2_v200_perceptron_test", "validation")
        for example in examples:
            text = example["inputs_pretokenized"][0].decode()
            inputs = [*encode(text), 1]
            np.testing.assert_array_equal(example["inputs"], np.stack([inputs] * 2, axis=1))
            for column, label in enumerate(("negative", "positive")):
                expected = [*encode(label), 1]
                got = example["targets"][:, column]
                self.assertEqual(got[: len(expected)].tolist(), expected)
                self.assertFalse(got[len(expected) :].any())
            right = [True, False] if "dull" in text else [False, True]
            self.assertEqual(example["is_correct"].tolist(), right)

    def test_long_inputs_are_cut_along_the_tokens(self):
        lengths = {"inputs": 4, "targets": 64}
        for example in self.examples(
            "glue_sst2_v200_perceptron_test", "validation", lengths=lengths
        ):
            self.assertEqual(example["inputs"].shape, (4, 2))

    def test_metrics_are_those_of_the_task(self):
        got = self.measure("glue_sst2_v200_perceptron_test", ["positive", "positive"])
        self.assertEqual(got["accuracy"], 50.0)
        self.assertIn("example: sentence: ", got["sst2 Perceptron Test samples"].textdata)
        generated = self.measure("glue_sst2_v200_generation_test", ["positive", "positive"])
        self.assertEqual(generated["accuracy"], 50.0)

    def test_rank_classification(self):
        name = "glue_sst2_v200_rank_classification_test"
        examples = self.examples(name, "validation")
        self.assertEqual([e["idx"].tolist() for e in examples], [[0, 0], [0, 1], [1, 0], [1, 1]])
        scores = [0.0 if example["is_correct"] else -1.0 for example in examples]
        self.assertEqual(self.measure(name, scores)["accuracy"], 100.0)

    def test_splits(self):
        spec = task_table.specs()["super_glue_cb_v102_perceptron_train"]
        self.assertEqual(spec.splits, {"train": "train[:-50]", "validation": "train[-50:]"})
        mixture = self.task("glue_sst2_v200_generation")
        self.assertLen(mixture.tasks, 4)
        self.assertLen(self.task("glue_sst2_v200_perceptron").tasks, 2)


if __name__ == "__main__":
    absltest.main()
