# SPDX-License-Identifier: Apache-2.0
import numpy as np
import tensorflow_datasets as tfds
from absl.testing import absltest

from prompt_tuning.data import fixture_tfds

TEXT = fixture_tfds.TEXT
_SQUAD = {
    "id": TEXT,
    "title": TEXT,
    "context": TEXT,
    "question": TEXT,
    "answers": tfds.features.Sequence(
        {"text": TEXT, "answer_start": tfds.features.Scalar(np.int32)}
    ),
}
_MRQA = {
    "qid": TEXT,
    "question": TEXT,
    "context": TEXT,
    "answers": tfds.features.Sequence(TEXT),
}
_QUESTION = {
    "id": "q1",
    "title": "t",
    "context": "Ann, (30) met Bob-Jo.",
    "question": "Who met Bob?",
    "answers": {"text": ["Ann", "Ann, (30)"], "answer_start": [0, 0]},
}
_OTHER = {"qid": "q2", "question": "Who?", "context": "It's Bob.", "answers": ["Bob", "It's Bob"]}


class QaTest(fixture_tfds.TfdsTestCase):
    stored = {
        "squad/v1.1:3.0.0": (_SQUAD, {"train": [_QUESTION], "validation": [_QUESTION]}),
        "mrqa/drop:1.0.0": (_MRQA, {"test": [_OTHER]}),
        "mrqa/news_qa:1.0.0": (_MRQA, {"train": [_OTHER], "validation": [_OTHER]}),
    }

    def test_squad(self):
        self.assertEqual(
            self.texts("squad_v010_allanswers_examples"),
            [("question: Who met Bob ? context: Ann , ( 30 ) met Bob - Jo . ", "Ann")],
        )
        got = self.measure("squad_v010_allanswers_examples", ["Ann ( 30 )"])
        self.assertEqual((got["em"], got["f1"]), (100.0, 100.0))
        self.assertEqual(
            got["squad samples"].textdata,
            "context: Ann , ( 30 ) met Bob - Jo . \nquestion: Who met Bob ? \n"
            "answers: Ann; Ann , ( 30 ) \nprediction: Ann ( 30 )",
        )

    def test_an_answer_of_several_is_not_shown_as_wrong(self):
        name = "squad_v010_allanswers_examples"
        for answer, wrong in (("Ann", ""), ("ann (30).", ""), ("Bob", "prediction: Bob")):
            shown = self.measure(name, [answer])["squad negative samples"].textdata
            self.assertEqual(shown[-len(wrong) :] if wrong else shown, wrong, answer)

    def test_out_of_domain_is_evaluated_on_its_test_split(self):
        task = self.task("mrqa_drop_v100_examples")
        self.assertEqual(list(task.splits), ["validation"])
        self.assertEqual(
            self.texts(task.name, "validation"),
            [("question: Who ? context: It ' s Bob . ", "Bob")],
        )
        got = self.measure(task.name, ["bob"])
        self.assertEqual((got["em"], got["f1"]), (100.0, 100.0))

    def test_in_domain_has_all_splits(self):
        self.assertCountEqual(
            self.task("mrqa_news_qa_v100_examples").splits, ["train", "validation"]
        )

    def test_mixtures(self):
        one = self.task("squad_to_drop_examples")
        self.assertCountEqual(
            [task.name for task in one.tasks],
            ["squad_v010_allanswers_examples", "mrqa_drop_v100_examples"],
        )
        self.assertLen(self.task("squad_to_mrqa_examples").tasks, 7)
        self.assertLen(self.examples("squad_to_drop_examples", num_epochs=1), 1)


if __name__ == "__main__":
    absltest.main()
