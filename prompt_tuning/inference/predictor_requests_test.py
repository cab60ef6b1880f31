# SPDX-License-Identifier: Apache-2.0
"""Rows that name their prompt, have errors, random seeds or several answers."""

import functools
import itertools

import hypothesis
import jax
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import strategies

from prompt_tuning.inference import compilations, predictor, prompt_bank, toy_predictor
from prompt_tuning.models import decoding, models

jax.config.update("jax_numpy_rank_promotion", "raise")

H = toy_predictor.H
Request, RowError = predictor.Request, predictor.RowError
LABELS = ["yes", "no", "not", "maybe"]
GREEDY = functools.partial(decoding.temperature_sample, temperature=0.0, rescale_log_probs=False)
# float32: the batches of one row and of several sum in another order.
TOLERANCE = 1e-4


def make_predictor(*arguments, **options):
    """One width only: each costs a compilation of a program."""
    return toy_predictor.make_predictor(*arguments, **{"length_buckets": (), **options})


def make_bank(lengths=(5, 0, 3, 1), **options):
    bank = prompt_bank.PromptBank(H, **{"max_length": 5, **options})
    # Large values, so that another prompt is another answer.
    for name, value in zip("abcd", toy_predictor.make_prompts(lengths), strict=True):
        bank.add(name, 3 * value)
    return bank


def mixed_rows(count, prompts="abcd"):
    lengths = np.random.RandomState(1).randint(1, 30, size=count)
    names = itertools.cycle(prompts)
    texts = toy_predictor.make_texts(lengths)
    return [Request(text, name) for text, name in zip(texts, names, strict=False)]


class MixedPromptsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bank = make_bank()
        cls.model = toy_predictor.TracedModel(decode_fn=GREEDY)
        cls.mixed = make_predictor(cls.model, prompts=cls.bank)
        cls.single = make_predictor(
            toy_predictor.TracedModel(decode_fn=GREEDY), prompt=np.zeros((0, H))
        )

    def prompt(self, name):
        table = self.bank.snapshot()
        slot = table.slots[name]
        return np.asarray(table.values[slot])[np.asarray(table.live[slot])]

    def test_each_row_is_as_in_a_batch_with_its_prompt_alone(self):
        rows = mixed_rows(16)
        answers, scores = self.mixed.predict(rows), self.mixed.score_labels(rows, LABELS)
        for name in "abcd":
            alone = self.single.with_prompt(self.prompt(name))
            places = [place for place, row in enumerate(rows) if row.prompt == name]
            texts = [rows[place].text for place in places]
            expected = alone.predict(texts)
            self.assertEqual([answers[p].text for p in places], [e.text for e in expected])
            np.testing.assert_allclose(
                [answers[p].score for p in places], [e.score for e in expected], atol=TOLERANCE
            )
            np.testing.assert_allclose(
                scores[places], alone.score_labels(texts, LABELS), atol=TOLERANCE
            )

    @hypothesis.settings(max_examples=15, deadline=None)
    @hypothesis.given(
        strategies.lists(
            strategies.tuples(strategies.sampled_from("abcd"), strategies.integers(1, 29)),
            min_size=1,
            max_size=9,
        )
    )
    def test_any_mixture_answers_as_its_prompts_alone(self, mixture):
        names, lengths = zip(*mixture, strict=True)
        texts = toy_predictor.make_texts(lengths, seed=sum(lengths))
        rows = [Request(text, name) for text, name in zip(texts, names, strict=True)]
        for answer, row in zip(self.mixed.predict(rows), rows, strict=True):
            expected = self.single.with_prompt(self.prompt(row.prompt)).predict([row.text])[0]
            self.assertEqual(answer.text, expected.text)
            self.assertAlmostEqual(answer.score, expected.score, delta=TOLERANCE)

    def test_the_prompt_matters(self):
        text = "words"
        scores = self.mixed.score_labels([Request(text, name) for name in "abcd"], LABELS)
        for first, second in itertools.combinations(scores, 2):
            self.assertGreater(np.abs(first - second).max(), 0.01)

    def test_a_default_prompt_by_name(self):
        default = self.mixed.with_prompt("c")
        rows = ["words", Request("words", "a")]
        named = [Request("words", "c"), Request("words", "a")]
        np.testing.assert_array_equal(
            default.score_labels(rows, LABELS), self.mixed.score_labels(named, LABELS)
        )

    def test_changes_of_a_running_predictor_compile_nothing(self):
        bank = make_bank(max_length=6, capacity=8)
        running = make_predictor(prompts=bank)
        rows = [Request(text, "a") for text in toy_predictor.make_texts([2, 10, 20, 20, 20, 20])]
        running.predict(rows), running.score_labels(rows, LABELS)
        added, replaced = toy_predictor.make_prompts([6, 2], seed=3)
        with compilations.counted() as compiled:
            bank.add("new", added)
            bank.replace("a", replaced)
            bank.remove("b")
            rows = [Request(row.text, name) for row, name in zip(rows, "aadcad", strict=True)]
            answers = running.predict([*rows[:4], Request(rows[4].text, "new")])
            scores = running.score_labels([Request("w", "new"), Request("w", "a")], LABELS)
        self.assertEmpty(compiled)
        self.assertLen(answers, 5)
        expected = self.single.with_prompt(added).score_labels(["w"], LABELS)
        np.testing.assert_allclose(scores[:1], expected, atol=TOLERANCE)

    def test_growing_compiles_no_model(self):
        bank = make_bank(capacity=4)
        model = toy_predictor.TracedModel()
        running = make_predictor(model, prompts=bank)
        running.score_labels([Request("w", "a")], LABELS)
        bank.add("e", np.ones((2, H)))
        self.assertEqual(bank.capacity, 8)
        running.score_labels([Request("w", "e")], LABELS)
        self.assertEqual(model.traces, {("score", 32): 1})

    def test_a_window_sees_the_bank_as_it_was(self):
        bank = make_bank()
        running = make_predictor(prompts=bank, window=2, report_bad_rows=True)
        rows = [Request("w", "a")] * 4
        answers = running.predict_stream(iter(rows))
        first = next(answers)
        bank.remove("a")
        self.assertEqual(next(answers), first)
        self.assertEqual([answer.kind for answer in answers], ["unknown_prompt"] * 2)

    @parameterized.parameters(
        ({"prompt": "sst"}, "no prompt 'sst' among the 0"),
        ({"prompt": "e", "prompts": make_bank}, "no prompt 'e' among the 4"),
        ({"prompt": np.zeros((2, H)), "prompts": make_bank}, "add it to the bank"),
        ({"prompts": lambda: prompt_bank.PromptBank(H + 1)}, "of width 9, and the model's .* is 8"),
    )
    def test_prompts_that_do_not_fit(self, options, message):
        if "prompts" in options:
            options = {**options, "prompts": options["prompts"]()}
        with self.assertRaisesRegex(ValueError, message):
            make_predictor(**options)


class RowErrorTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.reporting = make_predictor(prompts=make_bank(), report_bad_rows=True)

    def test_bad_rows_do_not_touch_the_others(self):
        good = mixed_rows(10)
        bad = [Request("x" * 50, "a"), Request("word", "e"), Request("  ", "b")]
        rows = [*good[:3], bad[0], *good[3:7], bad[1], *good[7:], bad[2]]
        kinds = {3: "too_long", 8: "unknown_prompt", 12: "empty"}
        for answer in (
            self.reporting.predict,
            lambda r: list(self.reporting.score_labels_stream(r, LABELS)),
            lambda r: self.reporting.choose_label(r, LABELS),
        ):
            answers, expected = answer(rows), answer(good)
            errors = {i: a.kind for i, a in enumerate(answers) if isinstance(a, RowError)}
            self.assertEqual(errors, kinds)
            rest = [a for a in answers if not isinstance(a, RowError)]
            for got, wanted in zip(rest, expected, strict=True):
                if isinstance(got, predictor.Prediction):
                    self.assertEqual(got.text, wanted.text)
                    got, wanted = got.score, wanted.score
                np.testing.assert_allclose(got, wanted, atol=TOLERANCE)

    def test_scores_of_bad_rows_are_not_numbers(self):
        scores = self.reporting.score_labels(["", Request("w", "a")], LABELS)
        np.testing.assert_array_equal(np.isnan(scores).any(axis=1), [True, False])
        self.assertEqual(scores.dtype, np.float32)

    def test_unreported_unknown_prompt_is_an_error_of_the_call(self):
        strict = make_predictor(prompts=make_bank())
        with self.assertRaisesRegex(ValueError, "row 1: there is no prompt 'e'"):
            strict.predict([Request("w", "a"), Request("w", "e")])


class ChooseLabelTest(absltest.TestCase):
    def test_is_the_first_of_the_ranking(self):
        made = make_predictor()
        labels = [*LABELS, *toy_predictor.make_texts([1, 2, 2, 3, 4, 5], seed=4)]
        texts = toy_predictor.make_texts(range(1, 12))
        scores = made.score_labels(texts, labels)
        chosen = made.choose_label(texts, labels)
        self.assertEqual([c.text for c in chosen], [labels[i] for i in np.argmax(scores, axis=1)])
        np.testing.assert_allclose([c.score for c in chosen], scores.max(axis=1), atol=TOLERANCE)

    def test_labels_are_checked_before_any_row(self):
        with self.assertRaisesRegex(ValueError, "have the same tokens"):
            make_predictor().choose_label_stream(iter([]), ["yes", "yes"])


class DecodesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sampler = make_predictor(sampling=predictor.Sampling(), seed=3)
        cls.texts = toy_predictor.make_texts([3, 20, 7, 12, 2, 30])

    def test_a_seed_decides_wherever_the_row_stands(self):
        rows = [Request(text, seed=i) for i, text in enumerate(self.texts)]
        answers = self.sampler.predict(rows)
        self.assertEqual(self.sampler.predict(rows[::-1])[::-1], answers)
        alone = [self.sampler.predict([row])[0] for row in rows]
        self.assertEqual([a.text for a in alone], [a.text for a in answers])

    def test_seeds_differ(self):
        rows = [Request("same words", seed=i) for i in range(8)]
        self.assertGreater(len({a.text for a in self.sampler.predict(rows)}), 4)
        without_seed = self.sampler.predict(["same words"] * 8)
        self.assertGreater(len({a.text for a in without_seed}), 4)
        self.assertEqual(self.sampler.predict(["same words"] * 8), without_seed)

    def test_the_predictors_seed_counts(self):
        other = make_predictor(sampling=predictor.Sampling(), seed=4)
        rows = ["same words"] * 8
        self.assertNotEqual(other.predict(rows), self.sampler.predict(rows))

    @parameterized.parameters({"sampling": predictor.Sampling()}, {"sampling": None})
    def test_all_decodes_best_first(self, sampling):
        options = {"sampling": sampling, "num_decodes": 3}
        every = make_predictor(return_all_decodes=True, **options).predict(self.texts)
        best = make_predictor(**options).predict(self.texts)
        for answer, single in zip(every, best, strict=True):
            self.assertLen(answer.others, 2)
            scores = [answer.score, *(other.score for other in answer.others)]
            self.assertEqual(scores, sorted(scores, reverse=True))
            self.assertEqual((answer.text, single.others), (single.text, ()))

    def test_places_that_a_search_cannot_fill_are_no_answers(self):
        # Of one token there is one answer that ends, and all other beams stay empty.
        options = {"num_decodes": 20, "return_all_decodes": True, "targets_length": 1}
        for answer in make_predictor(**options).predict(self.texts):
            self.assertEqual((answer.text, answer.others), ("", ()))
            self.assertGreater(answer.score, -100)

    def test_settings_that_are_bound_to_the_models_method_hold(self):
        bound = functools.partialmethod(
            toy_predictor.TracedModel.predict_batch_with_aux, num_decodes=3
        )
        model = type("Bound", (toy_predictor.TracedModel,), {"predict_batch_with_aux": bound})()
        for answer in make_predictor(model, return_all_decodes=True).predict(self.texts):
            self.assertLen(answer.others, 2)

    def test_a_model_that_samples_draws_anew_for_each_batch(self):
        model = toy_predictor.TracedModel(
            decode_fn=functools.partial(decoding.temperature_sample, topk=0)
        )
        made = make_predictor(model, batch_size=2)
        batches = [tuple(a.text for a in made.predict_stream(["same"] * 2, n)) for n in range(6)]
        self.assertGreater(len(set(batches)), 3)
        again = [tuple(a.text for a in made.predict_stream(["same"] * 2, n)) for n in range(6)]
        self.assertEqual(again, batches)

    def test_a_model_of_another_kind(self):
        model = models.BaseTransformerModel(None, None, None, None)
        with self.assertRaisesRegex(ValueError, "encoder-decoder model, and this is a BaseTrans"):
            make_predictor(model)

    def test_num_decodes_must_be_positive(self):
        with self.assertRaisesRegex(ValueError, "num_decodes is 0"):
            make_predictor(num_decodes=0)


if __name__ == "__main__":
    absltest.main()
