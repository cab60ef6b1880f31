# SPDX-License-Identifier: Apache-2.0
import glob
import json
import os

import numpy as np
import seqio
import tensorflow as tf
from absl.testing import absltest, parameterized
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util

from prompt_tuning.data import evaluation, fixture_tasks

# By PAIRS: label ids 1 0 0 -1 1 0 0.
_IDS = np.array([1, 0, 0, -1, 1, 0, 0])


def _predict(text: str, length: int = 4):
    """A model that always answers `text`, and remembers the batches it saw."""
    tokens = [*fixture_tasks.vocabulary().encode(text), 1]
    answer = np.array(tokens + [0] * (length - len(tokens)))
    seen = []

    def predict(batch):
        seen.append(batch)
        return np.tile(answer, (len(batch["encoder_input_tokens"]), 1))

    return predict, seen


def _score(texts, labels):
    del labels
    return np.array([[0.0, float(len(text) % 3) - 1] for text in texts])


class EvaluationTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        fixture_tasks.register_ours()
        self._folder = self.create_tempdir().full_path
        self._options = {
            "batch_size": 3,
            "task_feature_lengths": {"inputs": 16, "targets": 4},
            "output_dir": self._folder,
        }

    def _lines(self, name: str) -> list[dict]:
        path = os.path.join(self._folder, "inference_eval", name)
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_predictions_and_ranking(self):
        predict, seen = _predict("negative")
        got = evaluation.evaluate_task(predict, _score, "ours", "train", step=12, **self._options)
        chosen = [int(len(text) % 3 > 1) for text, _ in fixture_tasks.PAIRS]
        accuracy = 100 * float(np.mean(_IDS == 0))
        self.assertAlmostEqual(got["ours"]["accuracy"], accuracy)
        self.assertAlmostEqual(got["ours"]["rank_accuracy"], 100 * float(np.mean(_IDS == chosen)))
        self.assertIn("rank_auc", got["ours"])
        self.assertEqual(self._lines("ours-metrics.jsonl"), [{"step": 12, **got["ours"]}])
        rows = self._lines("ours-000012.jsonl")
        self.assertEqual([row["target"] for row in rows], _IDS.tolist())
        texts = [text for text, _ in fixture_tasks.PAIRS]
        self.assertEqual([row["input"]["inputs_pretokenized"] for row in rows], texts)
        self.assertEqual({(row["output"], row["prediction"]) for row in rows}, {("negative", 0)})
        scores = [row["aux_label_scores"] for row in rows]
        np.testing.assert_array_equal(scores, _score(texts, None))
        self.assertEqual({len(batch["encoder_input_tokens"]) for batch in seen}, {3})
        self.assertLen(seen, 3)

    def test_a_trial_has_the_names_of_an_evaluation(self):
        evaluator = evaluation.TaskEvaluator("ours", "train", **self._options)
        tried = evaluator.trial()
        self.assertEqual(os.listdir(self._folder), [])
        found = evaluator.evaluate(_predict("negative")[0], _score, step=1)
        self.assertEqual(set(tried["ours"]), set(found["ours"]))
        self.assertIn("rank_auc_per_token", tried["ours"])

    def test_ranking_by_token_favours_no_short_label(self):
        labels = ("negative", "something else entirely")
        task = fixture_tasks.register_ours(labels=labels)
        vocabulary = fixture_tasks.vocabulary()
        lengths = np.array([len(vocabulary.encode(label)) + 1 for label in labels])
        self.assertGreater(lengths[1], 2 * lengths[0])

        def score(texts, labels):
            # As a whole the first label is always likelier, by token the second.
            return np.tile([[-2.0 * lengths[0], -1.0 * lengths[1]]], (len(texts), 1))

        got = evaluation.evaluate_task(None, score, task.name, "train", **self._options)["ours"]
        first = 100 * float(np.mean([target == labels[0] for _, target in fixture_tasks.PAIRS]))
        second = 100 * float(np.mean([target == labels[1] for _, target in fixture_tasks.PAIRS]))
        self.assertAlmostEqual(got["rank_accuracy"], first)
        self.assertAlmostEqual(got["rank_accuracy_per_token"], second)

    def test_tensorboard_and_another_folder(self):
        evaluator = evaluation.TaskEvaluator("ours", "train", **self._options)
        other = self.create_tempdir().full_path
        evaluator.evaluate(_predict("negative")[0], _score, step=3)
        evaluator.write_to(other)
        evaluator.evaluate(_predict("negative")[0], step=4)
        for folder, tags in (
            (self._folder, {"eval/accuracy", "eval/rank_accuracy"}),
            (other, {"eval/accuracy"}),
        ):
            events = glob.glob(os.path.join(folder, "inference_eval", "ours", "events*"))
            found = {
                value.tag
                for event in tf.compat.v1.train.summary_iterator(events[0])
                for value in event.summary.value
            }
            self.assertContainsSubset(tags, found)
            self.assertLen(self._lines("ours-metrics.jsonl"), 1)

    def test_targets_that_are_cut_are_told(self):
        # Of the labels, "something else entirely" alone has more than 4 tokens.
        told = evaluation.TaskEvaluator("ours", "train", **self._options).cut_targets()
        self.assertEqual(
            told,
            "1 of the first 7 targets of the task 'ours' are longer than 4 tokens and are cut, so "
            "they cannot be predicted: --targets_length (TASK_FEATURE_LENGTHS).",
        )
        for lengths in ({"inputs": 16, "targets": 64}, None):
            options = {**self._options, "task_feature_lengths": lengths}
            self.assertEqual(evaluation.TaskEvaluator("ours", "train", **options).cut_targets(), "")

    def test_order_of_predictions_is_kept(self):
        def copy_targets(batch):
            return batch["decoder_target_tokens"]

        got = evaluation.evaluate_task(copy_targets, None, "ours", "train", **self._options)
        # "something else entirely" is cut to 4 tokens; label id -1 equals label id -1 all the same.
        self.assertEqual(got, {"ours": {"accuracy": 100.0}})

    def test_inputs_are_narrowed_and_targets_are_not(self):
        predict, seen = _predict("positive")
        self._options |= {"input_buckets": (4, 8), "batch_size": 1}
        evaluation.evaluate_task(predict, None, "ours", "train", **self._options)
        self.assertEqual({b["encoder_input_tokens"].shape[1] for b in seen}, {4, 8, 16})
        self.assertEqual({b["decoder_target_tokens"].shape for b in seen}, {(1, 4)})

    def test_steps_are_appended(self):
        evaluator = evaluation.TaskEvaluator("ours", "train", **self._options)
        for step, answer in enumerate(["negative", "positive"]):
            evaluator.evaluate(_predict(answer)[0], step=step)
        evaluator.evaluate(None, _score, step=2)
        lines = self._lines("ours-metrics.jsonl")
        self.assertEqual([line["step"] for line in lines], [0, 1, 2])
        self.assertAlmostEqual(lines[1]["accuracy"], 100 * float(np.mean(_IDS == 1)))
        self.assertIn("rank_accuracy", lines[2])
        self.assertNotIn("rank_accuracy", lines[1])
        self.assertEqual(evaluator.task_names, ["ours"])

    def test_settings(self):
        self._options |= {"num_examples": 4, "write_n_results": 2, "task_feature_lengths": None}
        got = evaluation.evaluate_task(
            _predict("negative")[0], None, "ours", "train", step=1, **self._options
        )
        self.assertEqual(got["ours"]["accuracy"], 50.0)
        self.assertLen(self._lines("ours-000001.jsonl"), 2)

    def test_tensorboard_gets_every_metric_of_every_step(self):
        evaluator = evaluation.TaskEvaluator("ours", "train", **self._options)
        for step in (3, 5):
            evaluator.evaluate(_predict("negative")[0], _score, step=step)
        board = event_accumulator.EventAccumulator(
            os.path.join(self._folder, evaluation.FOLDER, "ours")
        ).Reload()
        lines = self._lines("ours-metrics.jsonl")
        for tag in ("accuracy", "rank_accuracy", "rank_auc"):
            events = board.Tensors(f"eval/{tag}")
            self.assertEqual([event.step for event in events], [3, 5])
            value = float(tensor_util.make_ndarray(events[1].tensor_proto))
            self.assertAlmostEqual(value, lines[1][tag], places=4)

    def test_files_that_are_not_wanted(self):
        self._options |= {"write_json": False, "write_tensorboard": False}
        evaluation.evaluate_task(_predict("negative")[0], None, "ours", "train", **self._options)
        self.assertEmpty(os.listdir(self._folder))

    def test_a_step_is_evaluated_when_its_line_is_there(self):
        evaluator = evaluation.TaskEvaluator("ours", "train", **self._options)
        for step in (3, 5):
            evaluator.evaluate(_predict("negative")[0], step=step)
        self.assertTrue(evaluator.rewind(5))
        self.assertFalse(evaluator.rewind(4))
        self.assertEqual([line["step"] for line in self._lines("ours-metrics.jsonl")], [3])

    def test_without_output_folder(self):
        self._options["output_dir"] = None
        got = evaluation.evaluate_task(None, _score, "ours", "train", **self._options)
        self.assertIn("rank_accuracy", got["ours"])
        self.assertEmpty(os.listdir(self._folder))

    def test_mixture(self):
        fixture_tasks.register_ours("other")
        seqio.MixtureRegistry.remove("both")
        seqio.MixtureRegistry.add("both", ["ours", "other"], default_rate=1.0)
        predict, _ = _predict("negative")
        got = evaluation.evaluate_task(predict, _score, "both", "train", **self._options)
        self.assertEqual(set(got), {"ours", "other"})
        self.assertEqual(got["ours"], got["other"])

    def test_metric_of_scores(self):
        def mean_score(targets, scores):
            del targets
            return {"mean": float(np.mean(scores))}

        task = fixture_tasks.register_ours().replace(name="scored", metric_fns=[mean_score])
        seqio.TaskRegistry.remove("scored")
        seqio.TaskRegistry.add_provider("scored", task)
        predict, _ = _predict("negative")
        with self.assertRaisesRegex(ValueError, "'scored' has metrics of scores"):
            evaluation.evaluate_task(predict, None, "scored", "train", **self._options)
        got = evaluation.evaluate_task(
            predict,
            None,
            "scored",
            "train",
            score_fn=lambda batch: batch["decoder_loss_weights"].sum(axis=1),
            **self._options,
        )
        vocabulary = fixture_tasks.vocabulary()
        lengths = [min(4, len(vocabulary.encode(t)) + 1) for _, t in fixture_tasks.PAIRS]
        self.assertAlmostEqual(got["scored"]["mean"], float(np.mean(lengths)))

    def test_a_split_without_labels_is_refused(self):
        for name, pairs in (
            ("unlabelled", [("a film", "<unk>"), ("a book", "<unk>")]),
            ("one_label", [("a film", "<unk>"), ("a book", "negative")]),
        ):
            fixture_tasks.register_ours(name, pairs)
        with self.assertRaisesRegex(ValueError, "'train' .*'unlabelled' has no labels.*--split="):
            evaluation.TaskEvaluator("unlabelled", "train", **self._options)
        evaluation.TaskEvaluator("one_label", "train", **self._options)

    def test_errors(self):
        predict, _ = _predict("negative")
        with self.assertRaisesRegex(ValueError, "cannot be evaluated on 'test'"):
            evaluation.evaluate_task(predict, None, "ours", "test", **self._options)
        evaluator = evaluation.TaskEvaluator("ours", "train", **self._options)
        with self.assertRaisesRegex(ValueError, r"shape \(7, 3\); 7 texts and 2 .* \(7, 2\)"):
            evaluator.evaluate(None, lambda texts, labels: np.zeros((7, 3)))
        with self.assertRaisesRegex(ValueError, "1 outputs for a batch of 3"):
            evaluator.evaluate(lambda batch: np.zeros((1, 4)))


if __name__ == "__main__":
    absltest.main()
