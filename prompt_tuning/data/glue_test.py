# SPDX-License-Identifier: Apache-2.0
import os

import numpy as np
import sentencepiece
import seqio
import tensorflow_datasets as tfds
from absl.testing import absltest

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.config import dataset_config
from prompt_tuning.data import (
    evaluation,
    fixture_tfds,
    glue,
    offline_tfds,
    pipeline,
    shared_data,
    task_table,
)

_PAIRS = "index\tsentence1\tsentence2\tlabel\n"
_QNLI = "index\tquestion\tsentence\tlabel\n"
_MNLI = "index\tsentence1\tsentence2\tgold_label\n"


class GlueTest(fixture_tfds.TfdsTestCase):
    files = {
        "glue/cola": {"validation": "a\t1\t\tThe cat sat.\nb\t0\t*\tCat the sat.\n"},
        "glue/sst2": {
            "train": "sentence\tlabel\na fine film \t1\na dull one\t0\n",
            "test": "index\tsentence\n0\tso so\n",
        },
        "glue/mrpc": {
            "validation": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
            "1\t7\t8\tHe left.\tHe went.\n0\t8\t9\tHe left.\tIt rains.\n1\t1\t2\tA b.\tB a.\n"
        },
        "glue/qqp": {"train": "question1\tquestion2\tis_duplicate\nWhy?\tHow come?\t1\n"},
        "glue/stsb": {
            "validation": "sentence1\tsentence2\tscore\n"
            "A man.\tA boy.\t3.75\nA cat.\tA dog.\t0.5\nIt is.\tIt is.\t5\n"
        },
        "glue/mnli": {"train": _MNLI + "0\tIt rains.\tIt is wet.\tneutral\n"},
        "glue/mnli_matched": {"validation": _MNLI + "0\tA.\tB.\tcontradiction\n"},
        "glue/mnli_mismatched": {"validation": _MNLI + "0\tC.\tD.\tentailment\n"},
        "glue/qnli": {"train": _QNLI + "0\tWho?\tHe did.\tnot_entailment\n"},
        "glue/rte": {"train": _PAIRS + "0\tIt rains.\tIt is wet.\tentailment\n"},
        "glue/wnli": {"train": _PAIRS + "0\tIt fell.\tThe cup fell.\t1\n"},
        "glue/ax": {"test": "index\tsentence1\tsentence2\n0\tA.\tB.\n"},
    }

    def test_labels_and_splits_are_those_of_tfds(self):
        configs = {c.name: c for c in tfds.builder_cls("glue").BUILDER_CONFIGS}
        self.assertCountEqual(glue.DATASETS, configs)
        for name, dataset in glue.DATASETS.items():
            self.assertEqual(list(dataset.labels), configs[name].label_classes or [], name)

    def test_texts(self):
        expected = {
            "sst2": ("sst2 sentence: a fine film ", "positive"),
            "qqp": ("qqp question1: Why? question2: How come?", "duplicate"),
            "mnli": ("mnli hypothesis: It is wet. premise: It rains.", "neutral"),
            "qnli": ("qnli question: Who? sentence: He did.", "not_entailment"),
            "rte": ("rte sentence1: It rains. sentence2: It is wet.", "entailment"),
            "wnli": ("wnli sentence1: It fell. sentence2: The cup fell.", "entailment"),
        }
        for name, pair in expected.items():
            for version in glue.VERSIONS:
                self.assertEqual(self.texts(f"glue_{name}_{version}_examples")[0], pair)
                taskless = self.texts(f"taskless_glue_{name}_{version}")[0]
                self.assertEqual(taskless, (pair[0].partition(" ")[2], pair[1]))

    def test_texts_of_other_splits(self):
        cola = self.texts("glue_cola_v002", "validation")
        self.assertEqual(cola[1], ("cola sentence: Cat the sat.", "unacceptable"))
        mrpc = self.texts("taskless_glue_mrpc_v200", "validation")
        self.assertEqual(mrpc[0], ("sentence1: He left. sentence2: He went.", "equivalent"))
        stsb = [pair[1] for pair in self.texts("glue_stsb_v002", "validation")]
        self.assertEqual(stsb, ["3.8", "0.4", "5.0"])
        ax = self.texts("glue_ax_v200_examples", "test")
        self.assertEqual(ax, [("mnli hypothesis: B. premise: A.", "<unk>")])
        self.assertEqual(self.texts("glue_sst2_v200_examples", "test")[0][1], "<unk>")

    def test_a_public_test_split_is_not_scored(self):
        name = "taskless_glue_sst2_v200"
        self.task(name)
        with self.assertRaisesRegex(ValueError, f"'test' of the task '{name}' has no labels"):
            evaluation.TaskEvaluator(
                name, "test", batch_size=1, task_feature_lengths=fixture_tfds.LENGTHS
            )

    def test_task_index_takes_the_place_of_the_task(self):
        taskless = self.examples("taskless_glue_sst2_v002")
        indexed = self.examples("task_index_glue_sst2_v002_examples")
        plain = self.examples("glue_sst2_v002")
        for a, b, c in zip(taskless, indexed, plain, strict=True):
            # sst2 is number 6, and <extra_id_0> is 419.
            self.assertEqual(b["inputs"].tolist(), [413, *a["inputs"]])
            self.assertGreater(len(c["inputs"]), len(b["inputs"]))
            np.testing.assert_array_equal(a["targets"], b["targets"])

    def test_task_index(self):
        self.assertEqual(
            glue.TASK_INDEX,
            dict(cola=0, mnli=1, ax=1, mnli_matched=1, mnli_mismatched=1, mrpc=2, qnli=3, qqp=4)
            | dict(rte=5, sst2=6, stsb=7, wnli=8),
        )

    def test_metrics(self):
        both = self.measure("taskless_glue_mrpc_v002", ["equivalent", "equivalent", "maybe"])
        self.assertAlmostEqual(both["accuracy"], 100 / 3)
        self.assertAlmostEqual(both["f1"], 50.0)
        cola = self.measure("glue_cola_v002", ["acceptable", "unacceptable"])
        self.assertAlmostEqual(cola["matthews_corrcoef"], 100.0)
        stsb = self.measure("glue_stsb_v200_examples", ["4.0", "no number", "5.0"])
        self.assertAlmostEqual(stsb["spearman_corrcoef"], 100.0)
        self.assertBetween(stsb["pearson_corrcoef"], 90, 99.9)

    def test_examples_variant_shows_examples(self):
        got = self.measure("taskless_glue_sst2_v002_examples", ["positive", "positive"], "train")
        self.assertEqual(got["accuracy"], 50.0)
        self.assertEqual(
            got["sst2 negative samples"].textdata,
            "example: sentence: a dull one\ntarget: negative\nprediction: positive",
        )

    def test_real_text_and_vocabulary(self):
        path = shared_data.require(self, "sst2/train.tsv")
        model = shared_data.require(self, "t5_vocab/sentencepiece.model")
        with open(path, encoding="utf-8") as file:
            rows = [file.readline() for _ in range(201)]
        (dataset,) = offline_tfds.parse("glue/sst2:2.0.0")
        folder = self.create_tempdir().full_path
        train = self.write(dataset, "real", "".join(rows))
        offline_tfds.make(dataset, {"train": train}, folder)
        seqio.set_tfds_data_dir_override(folder)
        self.addCleanup(seqio.set_tfds_data_dir_override, self.data_dir)
        name = "task_index_glue_sst2_v200_examples"
        task_table.register(name, SentencePieceVocabulary(model, extra_ids=100))
        examples = list(
            seqio.get_mixture_or_task(name)
            .get_dataset(fixture_tfds.LENGTHS, "train", shuffle=False)
            .as_numpy_iterator()
        )
        self.assertLen(examples, 200)
        pieces = sentencepiece.SentencePieceProcessor(model_file=model)
        for example in examples:
            label, text = rows[int(example["idx"]) + 1].rstrip("\n").split("\t")
            # <extra_id_6>, for the seventh task.
            expected = [32093, *pieces.encode(f"sentence: {text}"), 1]
            self.assertEqual(example["inputs"].tolist(), expected)
            self.assertEqual(example["targets"].tolist(), [[2841, 1], [1465, 1]][int(label)])

    def test_other_model_families_have_the_same_texts_in_their_tokens(self):
        expected = {"positive": b"sentence: a fine film ", "negative": b"sentence: a dull one"}
        # As upstream's: of 259 ids of bytes the 7th last stands for the task.
        for name, first in (("taskless", []), ("task_index", [252])):
            name = f"byt5_{name}_glue_sst2_v200"
            task_table.register(name, seqio.ByteVocabulary())
            task = seqio.get_mixture_or_task(name)
            examples = list(task.get_dataset(fixture_tfds.LENGTHS, "train").as_numpy_iterator())
            self.assertLen(examples, 2)
            for example in examples:
                label = example["targets_pretokenized"].decode()
                inputs = [*first, *(byte + 3 for byte in expected[label]), 1]
                self.assertEqual(example["inputs"].tolist(), inputs)
                targets = [*(byte + 3 for byte in label.encode()), 1]
                self.assertEqual(example["targets"].tolist(), targets)
        self.assertEqual(self.texts("mt5_glue_sst2_v002"), self.texts("glue_sst2_v002"))

    def test_batches_of_a_run(self):
        config = dataset_config.DatasetConfig(
            mixture_or_task_name="taskless_glue_sst2_v200",
            task_feature_lengths={"inputs": 32, "targets": 16},
            split="train",
            batch_size=2,
            shuffle=False,
            seed=0,
        )
        batches = pipeline.BatchIterator.from_config(config, fixture_tfds.vocabulary())
        rows = next(batches)["encoder_input_tokens"]
        examples = self.examples("taskless_glue_sst2_v200")
        expected = [example["inputs"].tolist() for example in examples]
        self.assertCountEqual([row[row > 0].tolist() for row in rows], expected)
        path = os.path.join(self.create_tempdir().full_path, "position")
        batches.save(path)
        following = next(batches)
        batches.restore(path)
        again = next(batches)
        for name, array in following.items():
            np.testing.assert_array_equal(array, again[name])

    def test_evaluation_of_a_run(self):
        self.task("glue_mrpc_v200_examples")
        answer = fixture_tfds.vocabulary().encode("equivalent")

        def predict(batch):
            return np.tile(np.int32([*answer, 1]), (len(batch["encoder_input_tokens"]), 1))

        evaluator = evaluation.TaskEvaluator("glue_mrpc_v200_examples", "validation", batch_size=2)
        got = evaluator.evaluate(predict)["glue_mrpc_v200_examples"]
        self.assertAlmostEqual(got["accuracy"], 200 / 3, places=4)
        self.assertIn("prediction: equivalent", str(got["mrpc samples"]))

    def test_mixtures_have_members_of_their_own_form(self):
        for marker in ("", "taskless_", "task_index_"):
            mixture = self.task(f"{marker}glue_mnli_and_dev_v002_examples")
            names = [f"{marker}glue_mnli{n}_v002_examples" for n in ("", "_matched", "_mismatched")]
            self.assertCountEqual([task.name for task in mixture.tasks], names)
            train = self.examples(mixture.name, "train", num_epochs=1)
            alone = self.examples(names[0], "train")
            self.assertEqual(train[0]["inputs"].tolist(), alone[0]["inputs"].tolist())
            evaluated = [t.name for t in seqio.get_subtasks(mixture) if "validation" in t.splits]
            self.assertCountEqual(evaluated, names[1:])


if __name__ == "__main__":
    absltest.main()
