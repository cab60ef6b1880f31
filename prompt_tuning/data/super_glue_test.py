# SPDX-License-Identifier: Apache-2.0
import json

import tensorflow_datasets as tfds
from absl.testing import absltest

from prompt_tuning.data import fixture_tfds, super_glue

_TOM = "Bob asked Tom if he can go"


def _lines(*rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _pair(idx: int, answer: str | bool | int, **texts) -> dict:
    return {**texts, "idx": idx, "label": answer}


def _wsc(idx: int, answer: bool, noun: str) -> dict:
    place = {"span1_text": noun, "span1_index": _TOM.split().index(noun)}
    return _pair(idx, answer, text=_TOM, target={**place, "span2_text": "he", "span2_index": 4})


_NEWS = "Ann met Bob.\n@highlight\nThey spoke\n@highlight\nIt ended"
_RECORD = {
    "idx": 4,
    "passage": {
        "text": _NEWS,
        "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}],
    },
    "qas": [
        {
            "idx": 9,
            "query": "@placeholder met Bob",
            "answers": [{"text": "Bob"}, {"text": "Ann"}],
        }
    ],
}
_MULTIRC = {
    "idx": 3,
    "passage": {
        "text": "<b>Sent 1: </b>It rained.<br>",
        "questions": [
            {
                "idx": 5,
                "question": "Did it?",
                "answers": [
                    {"idx": 0, "text": "Yes", "label": 1},
                    {"idx": 1, "text": "No", "label": 0},
                ],
            },
            {
                "idx": 6,
                "question": "When?",
                "answers": [{"idx": 2, "text": "Never", "label": 0}],
            },
        ],
    },
}
_ROWS = {
    "boolq": _lines(_pair(0, True, question="is it", passage="It is.")),
    "cb": _lines(
        _pair(0, "neutral", premise="A.", hypothesis="B."),
        _pair(1, "contradiction", premise="C.", hypothesis="D."),
    ),
    "copa": _lines(_pair(0, 1, premise="P.", choice1="X.", choice2="Y.", question="cause")),
    "multirc": _lines(_MULTIRC),
    "record": _lines(_RECORD),
    "rte": _lines(_pair(0, "entailment", premise="A.", hypothesis="B.")),
    "wic": _lines(
        _pair(0, False, word="go", sentence1="I go.", sentence2="A go.")
        | dict(start1=2, end1=4, start2=2, end2=4)
    ),
    "wsc.fixed": _lines(_wsc(0, True, "Tom"), _wsc(1, False, "Bob")),
}
_DPR = {
    "sentence": tfds.features.Text(),
    "pronoun": tfds.features.Text(),
    "candidates": tfds.features.Sequence(tfds.features.Text(), length=2),
    "label": tfds.features.ClassLabel(num_classes=2),
}


class SuperGlueTest(fixture_tfds.TfdsTestCase):
    files = {
        **{f"super_glue/{name}": {"train": t, "validation": t} for name, t in _ROWS.items()},
        "super_glue/axb": {
            "test": _lines(_pair(0, "entailment", sentence1="A.", sentence2="B.")),
        },
        "super_glue/axg": {
            "test": _lines(_pair(0, "not_entailment", premise="A.", hypothesis="B.")),
        },
    }
    stored = {
        "definite_pronoun_resolution:1.1.0": (
            _DPR,
            {
                "train": [
                    {
                        "sentence": "The cat saw it, and it ran.",
                        "pronoun": "it",
                        "candidates": ["the cat", "the dog"],
                        "label": 1,
                    }
                ]
            },
        )
    }

    def test_labels_are_those_of_tfds(self):
        configs = {c.name: c for c in tfds.builder_cls("super_glue").BUILDER_CONFIGS}
        self.assertCountEqual(configs, [*super_glue.DATASETS, "wsc", "wsc.fixed"])
        for name, dataset in super_glue.DATASETS.items():
            if dataset.labels:
                self.assertEqual(tuple(configs[name].label_classes), dataset.labels, name)

    def test_texts(self):
        expected = {
            "boolq": ("boolq passage: It is. question: is it", "True"),
            "cb": ("cb hypothesis: B. premise: A.", "neutral"),
            "copa": ("copa choice1: X. choice2: Y. premise: P. question: cause", "choice2"),
            "multirc": (
                "multirc question: Did it? answer: Yes paragraph: Sent 1: It rained. ",
                "True",
            ),
            "rte": ("rte hypothesis: B. premise: A.", "entailment"),
            "wic": ("wic sentence1: I go. sentence2: A go. word: go", "False"),
        }
        for name, pair in expected.items():
            self.assertEqual(self.texts(f"super_glue_{name}_v102_examples")[0], pair)
            taskless = self.texts(f"taskless_super_glue_{name}_v102")[0]
            self.assertEqual(taskless, (pair[0].partition(" ")[2], pair[1]))

    def test_diagnostics_are_rte(self):
        for name, label in (("axb", "entailment"), ("axg", "not_entailment")):
            got = self.texts(f"super_glue_{name}_v102", "test")
            self.assertEqual(got, [("rte hypothesis: B. premise: A.", label)])

    def test_record_has_an_example_for_each_answer(self):
        text = (
            "record query: @placeholder met Bob entities: Ann, Bob passage: "
            "Ann met Bob. They spoke. It ended"
        )
        self.assertEqual(self.texts("super_glue_record_v102"), [(text, "Ann"), (text, "Bob")])

    def test_task_index(self):
        self.assertEqual(
            super_glue.TASK_INDEX,
            {"boolq": 0, "cb": 1, "copa": 2, "multirc": 3, "record": 4, "rte": 5, "axb": 5}
            | {"axg": 5, "wic": 6, "wsc": 7, "wsc.fixed": 7},
        )
        dpr = self.examples("task_index_dpr_v001_simple_examples")[0]["inputs"]
        wsc = self.examples("task_index_super_glue_wsc_v102_simple_train")[0]["inputs"]
        self.assertEqual((dpr[0], wsc[0]), (412, 412))
        taskless = self.examples("taskless_dpr_v001_simple")[0]["inputs"]
        self.assertEqual(dpr[1:].tolist(), taskless.tolist())

    def test_wsc(self):
        text = "wsc: Bob asked Tom if *he* can go"
        train = self.texts("super_glue_wsc_v102_simple_train")
        self.assertEqual(train, [(text, "Tom")])
        both = self.texts("super_glue_wsc_v102_simple_eval", "validation")
        self.assertEqual(both, [(text, "Tom"), (text, "Bob")])
        for suffix in ("", "_examples"):
            got = self.measure(f"taskless_super_glue_wsc_v102_simple_eval{suffix}", ["Tom", "Bob"])
            self.assertEqual(got["accuracy"], 50.0)
        mixture = self.task("taskless_super_glue_wsc_and_dev_v102_simple")
        self.assertCountEqual(
            [task.name for task in mixture.tasks],
            [f"taskless_super_glue_wsc_v102_simple_{part}" for part in ("train", "eval")],
        )

    def test_dpr(self):
        pair = ("wsc: The cat saw *it*, and it ran.", "the dog")
        self.assertEqual(self.texts("dpr_v001_simple"), [pair])
        for marker in ("taskless_", "task_index_"):
            for suffix in ("", "_examples"):
                name = f"{marker}dpr_v001_simple{suffix}"
                self.assertEqual(self.measure(name, ["the dog"], "train")["accuracy"], 100.0)

    def test_metrics(self):
        cb = self.measure("taskless_super_glue_cb_v102", ["neutral", "neutral"])
        self.assertEqual(cb["accuracy"], 50.0)
        self.assertAlmostEqual(cb["mean_3class_f1"], 100 * (2 / 3) / 3)
        for suffix in ("", "_examples"):
            answers = ["True", "True", "False"]
            multirc = self.measure(f"taskless_super_glue_multirc_v102{suffix}", answers)
            self.assertAlmostEqual(multirc["f1"], 100 * 2 / 3)
            self.assertEqual(multirc["exact_match"], 50.0)
            record = self.measure(f"super_glue_record_v102{suffix}", ["the Bob", "nobody"])
            self.assertEqual((record["em"], record["f1"]), (100.0, 100.0))

    def test_right_answers_are_not_shown_as_wrong(self):
        for name, right, wrong in (
            ("multirc", ["True", "False", "False"], ["True", "True", "False"]),
            ("record", ["Bob", "the ann"], ["Bob", "nobody"]),
            ("cb", ["neutral", "contradiction"], ["neutral", "neutral"]),
        ):
            for answers, count in ((right, 0), (wrong, 1)):
                got = self.measure(f"super_glue_{name}_v102_examples", answers)
                shown = got[f"{name} negative samples"].textdata
                self.assertEqual(shown.count("prediction: "), count, name)

    def test_proportional_mixtures(self):
        mixture = self.task("task_index_super_glue_with_dpr_v102_examples_proportional")
        rates = mixture.rate_per_task_name
        self.assertEqual(sum(rates.values()), 185673)
        self.assertEqual(rates["task_index_super_glue_wsc_v102_simple_eval_examples"], 0)
        other = self.task("task_index_super_glue_v102_examples_proportional")
        self.assertLen(other.tasks, len(mixture.tasks) - 1)


if __name__ == "__main__":
    absltest.main()
