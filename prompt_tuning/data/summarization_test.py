# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest

from prompt_tuning.data import fixture_tfds, summarization

TEXT = fixture_tfds.TEXT


class SummarizationTest(fixture_tfds.TfdsTestCase):
    stored = {
        "xsum:1.1.0": (
            {"document": TEXT, "summary": TEXT},
            {"train": [{"document": "It  rained\nall day.", "summary": "Rain."}]},
        ),
        "cnn_dailymail:3.1.0": (
            {"article": TEXT, "highlights": TEXT, "id": TEXT},
            {"train": [{"article": "A .", "highlights": "B .\nC .", "id": "1"}]},
        ),
    }

    def test_texts(self):
        self.assertEqual(
            self.texts("xsum_v110_examples"), [("summarize: It rained all day.", "Rain.")]
        )
        self.assertEqual(
            self.texts("cnn_dailymail_v310_examples"), [("summarize: A .", "B .\nC .")]
        )

    def test_shows_examples_but_no_wrong_ones(self):
        *_, shown = self.task("xsum_v110_examples").metric_fns
        rows = [{"inputs_pretokenized": "a", "targets_pretokenized": "b", "prediction": "c"}]
        got = shown(["b"], [{**rows[0], "prediction_pretokenized": "c"}])
        self.assertEqual(list(got), ["xsum samples"])

    def test_names(self):
        self.assertEqual(
            [spec.name for spec in summarization.specs()][:3],
            ["xsum_v110_examples", "cnn_dailymail_v310_examples", "mt5_xsum_v110_examples"],
        )


if __name__ == "__main__":
    absltest.main()
