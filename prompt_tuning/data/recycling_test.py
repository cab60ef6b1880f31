# SPDX-License-Identifier: Apache-2.0
import json

import tensorflow_datasets as tfds
from absl.testing import absltest

from prompt_tuning.data import fixture_tfds, recycling

_SST2 = "sentence\tlabel\n" + "fine\t1\ndull\t0\n" * 600
_QQP = "question1\tquestion2\tis_duplicate\nWhy?\tHow?\t0\nWhy?\tHow come?\t1\n"
_IMDB = {
    "text": fixture_tfds.TEXT,
    "label": tfds.features.ClassLabel(names=["neg", "pos"]),
}
_RECORD = {
    "idx": 4,
    "passage": {
        "text": "Ann met Bob.",
        "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}],
    },
    "qas": [
        {"idx": 9, "query": "@placeholder met", "answers": [{"text": "Bob"}]},
        {"idx": 10, "query": "met @placeholder", "answers": [{"text": "Bob"}, {"text": "Ann"}]},
    ],
}


class RecyclingTest(fixture_tfds.TfdsTestCase):
    files = {
        "glue/sst2:2.0.0": {"train": _SST2, "validation": "sentence\tlabel\nfine\t1\ndull\t0\n"},
        "glue/qqp:2.0.0": {"validation": _QQP},
        "super_glue/record": {"validation": json.dumps(_RECORD)},
    }
    stored = {
        "imdb_reviews/plain_text:1.0.0": (
            _IMDB,
            {"test": [{"text": "good", "label": 1}, {"text": "bad", "label": 0}]},
        )
    }

    def test_held_out_split_is_the_end_of_train(self):
        task = self.task("pr:glue_sst2_v200_train")
        self.assertEqual(task.num_input_examples("train"), 200)
        self.assertEqual(task.num_input_examples("validation"), 1000)
        everything = self.task("taskless_glue_sst2_v200").get_dataset(
            fixture_tfds.LENGTHS, "train", shuffle=False
        )
        ids = [int(example["idx"]) for example in everything.as_numpy_iterator()]
        held_out = task.get_dataset(fixture_tfds.LENGTHS, "validation", shuffle=False)
        self.assertEqual([int(e["idx"]) for e in held_out.as_numpy_iterator()], ids[-1000:])

    def test_verbalizers(self):
        for words in recycling.QQP_VERBALIZERS:
            name = f"pr:glue_qqp_v200_{recycling.verbalizers_name(words)}_verbalizers_test"
            got = self.texts(name, "validation")
            self.assertEqual(got[0], ("question1: Why? question2: How?", words[0]))
            self.assertEqual(got[1][1], words[1])
        self.assertEqual(recycling.verbalizers_name(("not duplicate", "x")), "not_spc_duplicate_x")
        imdb = self.texts("pr:imdb_v100_0_1_verbalizers_test", "validation")
        self.assertCountEqual(imdb, [("good", "1"), ("bad", "0")])
        got = self.measure("pr:imdb_v100_negative_positive_verbalizers_test", ["positive"] * 2)
        self.assertEqual(got["accuracy"], 50.0)

    def test_ranking_has_an_example_for_each_answer(self):
        pairs = self.texts("pr:glue_sst2_v200_test_rc", "validation")
        self.assertEqual(
            pairs,
            [(f"sentence: {text}", label) for text in self._sst2() for label in self._labels()],
        )
        # Scores by answer, negative first; "fine" is positive.
        order = [text == "fine" for text in self._sst2()]
        scores = [s for positive in order for s in ((-2.0, -1.0) if positive else (-1.0, -2.0))]
        got = self.measure("pr:glue_sst2_v200_test_rc", scores)
        self.assertEqual(got, dict.fromkeys(("accuracy", "f1", "auc-roc", "auc-pr"), 100.0))

    def _sst2(self) -> list[str]:
        rows = self.task("pr:glue_sst2_v200_test").get_dataset(None, "validation", shuffle=False)
        return [
            row["inputs_pretokenized"].decode().removeprefix("sentence: ")
            for row in rows.as_numpy_iterator()
        ]

    def _labels(self) -> tuple[str, str]:
        return ("negative", "positive")

    def test_normed_metrics(self):
        name = "pr:imdb_v100_{}_verbalizers_test_rc"
        got = self.measure(name.format("0_1"), [-1.0, -2.0, -1.0, -2.0])
        self.assertEqual(got["accuracy"], got["normed_accuracy"])
        other = self.measure(name.format("negative_positive"), [-1.0, -2.0, -1.0, -2.0])
        self.assertNotIn("normed_accuracy", other)

    def test_record_ranks_its_entities(self):
        examples = self.examples("pr:super_glue_record_v102_rc", "validation")
        pairs = [(e["targets_pretokenized"], bool(e["is_correct"])) for e in examples]
        self.assertCountEqual(
            pairs, [(b"Ann", False), (b"Bob", True), (b"Ann", True), (b"Bob", True)]
        )
        # Ann is the likelier one each time: wrong for one of the two queries.
        got = self.measure("pr:super_glue_record_v102_rc", [-1.0, -9.0, -1.0, -9.0])
        self.assertEqual(got["accuracy"], 50.0)

    def test_mixtures(self):
        every = self.task("pr:glue_qqp_v200_0_1_verbalizers")
        evaluated = self.task("pr:glue_qqp_v200_0_1_verbalizers_eval")
        self.assertLen(every.tasks, 4)
        self.assertEqual(
            {task.name for task in every.tasks} - {task.name for task in evaluated.tasks},
            {"pr:glue_qqp_v200_0_1_verbalizers_training"},
        )


if __name__ == "__main__":
    absltest.main()
