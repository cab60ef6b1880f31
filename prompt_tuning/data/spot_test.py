# SPDX-License-Identifier: Apache-2.0
import tensorflow_datasets as tfds
from absl.testing import absltest

from prompt_tuning.data import fixture_tfds

TEXT = fixture_tfds.TEXT
_NLI = ["entailment", "neutral", "contradiction"]
_PAIRS = "sentence1\tsentence2\tgold_label\n"


class SpotTest(fixture_tfds.TfdsTestCase):
    files = {
        "glue/sst2:2.0.0": {"validation": "sentence\tlabel\nfine\t1\n"},
        "glue/mnli:2.0.0": {
            "train": _PAIRS + "A.\tB.\tneutral\n",
            "validation_matched": _PAIRS + "C.\tD.\tneutral\n",
            "validation_mismatched": _PAIRS + "E.\tF.\tentailment\n",
        },
    }
    stored = {
        "mrqa/squad:1.0.0": (
            {"qid": TEXT, "question": TEXT, "context": TEXT}
            | {"answers": tfds.features.Sequence(TEXT)},
            {"train": [{"qid": "1", "question": "Who?", "context": "Bob.", "answers": ["Bob"]}]},
        ),
        "anli/r1:0.1.0": (
            {"uid": TEXT, "context": TEXT, "hypothesis": TEXT, "reason": TEXT}
            | {"label": tfds.features.ClassLabel(names=["e", "n", "c"])},
            {"train": [dict(uid="1", context="C  c.", hypothesis="H.", reason="", label=2)]},
        ),
        "snli:1.1.0": (
            {"premise": TEXT, "hypothesis": TEXT, "label": tfds.features.ClassLabel(names=_NLI)},
            {"validation": [dict(premise="P.", hypothesis="H.", label=-1)]},
        ),
        "doc_nli:1.0.0": (
            {"premise": TEXT, "hypothesis": TEXT}
            | {"label": tfds.features.ClassLabel(names=["not_entailment", "entailment"])},
            {"validation": [dict(premise="P.", hypothesis="H.", label=1)]},
        ),
        "aeslc:1.0.0": (
            {"email_body": TEXT, "subject_line": TEXT},
            {"train": [{"email_body": "Hi  all", "subject_line": "Hello"}]},
        ),
    }

    def test_texts(self):
        expected = {
            "spot_mrqa_squad_v100": ("squad question: Who ? context: Bob . ", "Bob"),
            "spot_anli_r1_v010": ("anli_r1 hypothesis: H. context: C c.", "contradiction"),
            "spot_aeslc_v100": ("aeslc summarize: Hi  all", "Hello"),
        }
        for name, pair in expected.items():
            self.assertEqual(self.texts(name), [pair])
        for name, target in (("snli_v110", "<unk>"), ("doc_nli_v100", "entailment")):
            stem = name.rpartition("_")[0]
            self.assertEqual(
                self.texts(f"spot_{name}", "validation"),
                [(f"{stem} hypothesis: H. premise: P.", target)],
            )

    def test_glue_keeps_the_name_of_the_task(self):
        self.assertEqual(
            self.texts("spot_glue_sst2_v200", "validation"), [("sst2 sentence: fine", "positive")]
        )

    def test_mnli_is_evaluated_on_both_validation_splits(self):
        mixture = self.task("spot_glue_mnli_and_dev_v200")
        self.assertLen(mixture.tasks, 3)
        for kind, first in (("matched", "C."), ("mismatched", "E.")):
            got = self.texts(f"spot_glue_mnli_validation_{kind}_v200", "validation")
            self.assertIn(f"premise: {first}", got[0][0])
        self.assertEqual(list(self.task("spot_glue_mnli_train_v200").splits), ["train"])

    def test_metrics(self):
        self.assertEqual(self.measure("spot_mrqa_squad_v100", ["bob"], "train")["em"], 100.0)
        nli = self.task("spot_doc_nli_v100").metric_fns[0]
        self.assertEqual(nli(["entailment"], ["entailment"]), {"accuracy": 100.0})


if __name__ == "__main__":
    absltest.main()
