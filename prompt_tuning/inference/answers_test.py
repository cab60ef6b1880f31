# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.inference import answers, predictor, prompt_bank, requests, toy_predictor
from prompt_tuning.models import models

jax.config.update("jax_numpy_rank_promotion", "raise")

LABELS = ("yes", "no", "maybe")
TEXTS = ("some", "", "words", "x" * 40, "here")


def rows(texts=TEXTS, **fields):
    return [
        answers.InputRow({"inputs_pretokenized": text}, requests.Request(text, **fields))
        for text in texts
    ]


class AnswersTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        bank = prompt_bank.PromptBank(toy_predictor.H, max_length=3)
        for name, value in zip("ab", toy_predictor.make_prompts([3, 2]), strict=True):
            bank.add(name, 3 * value)
        cls.made = toy_predictor.make_predictor(
            prompts=bank, prompt="a", report_bad_rows=True, length_buckets=()
        )

    def records(self, given=None, **manner):
        return list(answers.records(self.made, given or rows(), answers.Manner(**manner)))

    @parameterized.parameters(
        ({}, {"inputs", "prediction", "score"}),
        ({"mode": "predict_with_aux"}, {"inputs", "prediction", "score", "aux"}),
        ({"labels": LABELS}, {"inputs", "prediction", "label_scores"}),
        ({"labels": LABELS, "only_best": True}, {"inputs", "prediction", "score"}),
        ({"ensemble": "ab"}, {"inputs", "prediction", "score"}),
        ({"labels": LABELS, "ensemble": "ab"}, {"inputs", "prediction", "label_scores"}),
    )
    def test_a_record_for_each_row_in_its_place(self, manner, keys):
        made = self.records(**manner)
        self.assertEqual([r["inputs"]["inputs_pretokenized"] for r in made], list(TEXTS))
        self.assertEqual([r.get("error") for r in made], [None, "empty", None, "too_long", None])
        self.assertEqual(set(made[0]), keys)

    def test_ways_agree(self):
        ranked, best = self.records(labels=LABELS), self.records(labels=LABELS, only_best=True)
        for one, other in zip(ranked, best, strict=True):
            self.assertEqual(one.get("prediction"), other.get("prediction"))

    @parameterized.parameters(((),), (("a", "b"),))
    def test_labels_by_token(self, ensemble):
        whole = self.records(labels=LABELS, ensemble=ensemble)
        made = self.records(labels=LABELS, ensemble=ensemble, per_token=True)
        for one, other in zip(whole, made, strict=True):
            if "error" in one:
                continue
            for label, score in one["label_scores"].items():
                self.assertAlmostEqual(other["label_scores"][label], score / (len(label) + 1), 5)
            best = max(other["label_scores"], key=other["label_scores"].get)
            self.assertEqual(other["prediction"], best)

    def test_scores_of_targets_are_the_models(self):
        targets = ["yes", "no", "maybe"]
        texts = ["some", "words", "here"]
        given = [
            answers.InputRow({"n": i}, requests.Request(text, target=target))
            for i, (text, target) in enumerate(zip(texts, targets, strict=True))
        ]
        letters = toy_predictor.Letters()
        tokens = jnp.asarray(letters.encode_padded(targets, 6))
        batch = {
            "encoder_input_tokens": jnp.asarray(letters.encode_padded(texts, 32)),
            "decoder_input_tokens": models.shift_right(tokens),
            "decoder_target_tokens": tokens,
            "decoder_loss_weights": (tokens > 0).astype(jnp.float32),
        }
        prompt = 3 * toy_predictor.make_prompts([3])[0]
        expected = toy_predictor.TracedModel().score_batch(
            toy_predictor.parameters(), batch, prompt=jnp.asarray(prompt)
        )
        scores = [record["score"] for record in self.records(given, mode="score")]
        np.testing.assert_allclose(scores, expected, atol=1e-4)

    def test_scoring_needs_targets(self):
        with self.assertRaisesRegex(ValueError, "'some' has no target"):
            self.records(mode="score")

    def test_rows_that_could_not_be_read(self):
        error = requests.RowError(requests.UNREADABLE, "line 2: not text")
        given = [*rows(["a"]), answers.InputRow({"line": 2}, error), *rows(["b"])]
        for manner in ({}, {"labels": LABELS, "ensemble": "ab"}, {"labels": LABELS}):
            made = self.records(given, **manner)
            self.assertEqual(made[1]["error"], "unreadable")
            self.assertEqual(made[1]["inputs"], {"line": 2})
            self.assertNotIn("error", made[2])

    def test_a_stream_in_two_parts_draws_the_same_samples(self):
        made = toy_predictor.make_predictor(sampling=predictor.Sampling(), length_buckets=())
        given = rows(toy_predictor.make_texts([4] * 8))
        whole = list(answers.records(made, given, answers.Manner()))
        rest = list(answers.records(made, given[3:], answers.Manner(), first=3))
        self.assertEqual([r["prediction"] for r in whole[3:]], [r["prediction"] for r in rest])

    @parameterized.parameters(
        ({"mode": "predcit"}, "'predcit'; accepted are predict, score"),
        ({"mode": "score", "ensemble": "ab"}, "leave out --ensemble, or mode score"),
        ({"only_best": True, "ensemble": "ab"}, "--label_file"),
        ({"only_best": True, "per_token": True}, "whole labels.*--nolabel_scores_per_token"),
    )
    def test_manners_that_make_no_sense(self, manner, message):
        with self.assertRaisesRegex(ValueError, message):
            answers.Manner(**manner)


if __name__ == "__main__":
    absltest.main()
