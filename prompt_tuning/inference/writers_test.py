# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import os

import numpy as np
from absl.testing import absltest

from prompt_tuning.inference import requests, writers


class RecordTest(absltest.TestCase):
    def test_prediction(self):
        record = writers.prediction_record("good .", requests.Prediction("positive", -0.5))
        self.assertEqual(
            record,
            {
                "inputs": {"inputs_pretokenized": "good ."},
                "prediction": "positive",
                "score": -0.5,
            },
        )

    def test_other_answers(self):
        others = (requests.Prediction("negative", -1.5),)
        record = writers.prediction_record({}, requests.Prediction("positive", -0.5, others))
        self.assertEqual(record["others"], [{"prediction": "negative", "score": -1.5}])

    def test_error(self):
        error = requests.RowError(requests.TOO_LONG, "the text has 9 tokens")
        self.assertEqual(
            writers.error_record("long", error),
            {
                "inputs": {"inputs_pretokenized": "long"},
                "error": "too_long",
                "message": "the text has 9 tokens",
            },
        )

    def test_labels(self):
        fields = {"inputs_pretokenized": "good .", "targets_pretokenized": "b"}
        record = writers.label_record(fields, ["a", "b"], np.array([-2, -1], np.float32))
        self.assertEqual(record["inputs"], fields)
        self.assertEqual(record["prediction"], "b")
        self.assertEqual(record["label_scores"], {"a": -2.0, "b": -1.0})

    def test_each_label_needs_a_score(self):
        with self.assertRaises(ValueError):
            writers.label_record("good .", ["a", "b"], np.zeros(3))


class CountingStream(io.StringIO):
    flushes = 0

    def flush(self):
        self.flushes += 1


class OpenJsonlTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.create_tempdir(), "folder", "predictions.jsonl")

    def _read(self):
        with open(self.path, encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]

    def test_one_object_to_a_line(self):
        records = [{"prediction": "two\nlines", "score": 0.25}, {"prediction": "é"}]
        with writers.open_jsonl(self.path) as writer:
            for record in records:
                writer.write(record)
        self.assertEqual(self._read(), records)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["predictions.jsonl"])

    def test_file_is_not_there_before_the_end(self):
        with writers.open_jsonl(self.path) as writer:
            writer.write({"a": 1})
            self.assertFalse(os.path.exists(self.path))

    def test_failure_leaves_the_old_file_and_nothing_else(self):
        with writers.open_jsonl(self.path) as writer:
            writer.write({"old": 1})
        with self.assertRaisesRegex(RuntimeError, "stop"):
            with writers.open_jsonl(self.path) as writer:
                writer.write({"new": 1})
                raise RuntimeError("stop")
        self.assertEqual(self._read(), [{"old": 1}])
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["predictions.jsonl"])

    def test_numbers_must_be_finite(self):
        with self.assertRaises(ValueError):
            with writers.open_jsonl(self.path) as writer:
                writer.write({"score": float("nan")})

    def test_standard_output_hands_on_each_line(self):
        stream = CountingStream()
        with contextlib.redirect_stdout(stream), writers.open_jsonl("-") as writer:
            for count in range(3):
                writer.write({"a": count})
                self.assertEqual(stream.flushes, count + 1)
        self.assertEqual(stream.getvalue(), '{"a": 0}\n{"a": 1}\n{"a": 2}\n')


if __name__ == "__main__":
    absltest.main()
