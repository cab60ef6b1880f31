# SPDX-License-Identifier: Apache-2.0
import collections
import hashlib
import re
import time

from absl.testing import absltest, parameterized

from prompt_tuning.bundled import grammar, lexicon, world


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[,.]", text)


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


class ReviewsTest(parameterized.TestCase):
    def test_the_text_is_the_same_on_every_machine(self):
        # The bundled checkpoint was trained on this text: when the digest changes, so must the
        # checkpoint.
        self.assertEqual(_digest(world.reviews(0, 500)), "0893d65720a609a9")

    def test_seeds_differ_and_a_longer_run_extends_a_shorter(self):
        self.assertNotEqual(world.reviews(0, 20), world.reviews(1, 20))
        self.assertEqual(world.reviews(0, 40)[:20], world.reviews(0, 20))

    def test_every_token_is_known_and_reviews_fit(self):
        tokens = grammar.tokens()
        for text in world.reviews(1, 500):
            self.assertLessEqual(set(_words(text)), tokens)
            self.assertLessEqual(len(_words(text)), world.MAX_TOKENS)

    def test_max_tokens_bounds_the_length(self):
        self.assertLessEqual(max(len(_words(t)) for t in world.reviews(1, 100, max_tokens=12)), 12)

    @parameterized.parameters("A", "B")
    def test_a_half_leaves_out_the_words_of_the_other(self, half):
        other = lexicon.opinion_words("B" if half == "A" else "A")
        for text in world.reviews(2, 300, words=half):
            self.assertEmpty(other & set(_words(text)), msg=text)

    def test_articles_agree(self):
        text = " ".join(world.reviews(3, 2000))
        self.assertNotRegex(text, r"\ba [aeio]")
        self.assertNotRegex(text, r"\ban [^aeiou]")
        self.assertNotRegex(text, r" [,.]")

    def test_the_verdicts_follow_the_polarity(self):
        rates = world.Rates(verdict=1.0, distractor=0.0, negated=0.0, contrast=0.0)
        for text in world.reviews(4, 300, rates=rates):
            words = set(_words(text))
            for label in words & set(lexicon.LABELS):
                wrong = lexicon.opposite(label)
                for category in lexicon.CATEGORIES:
                    self.assertEmpty(words & set(lexicon.opinions()[category, wrong]), msg=text)

    def test_flipped_words_appear_with_the_opposite_verdict(self):
        rates = world.Rates(
            verdict=1.0, verdict_label=1.0, distractor=0.0, negated=0.0, contrast=0.0
        )
        b_positive = set(lexicon.opinions("B")["adjective", lexicon.POSITIVE])
        verdicts = collections.Counter()
        for text in world.reviews(5, 400, flipped_b=True, rates=rates):
            words = set(_words(text))
            if words & b_positive:
                verdicts.update(words & set(lexicon.LABELS))
        self.assertEqual(set(verdicts), {lexicon.NEGATIVE})

    def test_label_words_are_frequent_and_distractors_lean_to_positive(self):
        texts = world.reviews(6, 3000)
        sentences = [s for text in texts for s in text.split(". ")]
        begins = collections.Counter(s.split()[0] for s in sentences)
        self.assertBetween(begins["positive"] / begins["negative"], 3.4, 4.7)
        mentions = sum("positive" in t or "negative" in t for t in texts) / len(texts)
        self.assertBetween(mentions, 0.6, 0.8)

    def test_generation_is_fast(self):
        start = time.process_time()
        world.reviews(7, 10_000)
        self.assertLess(time.process_time() - start, 2.0)  # measured: 0.14 s

    def test_unknown_words_argument(self):
        with self.assertRaisesRegex(ValueError, "Half 'a'"):
            world.reviews(0, 1, words="a")


class ClassificationExamplesTest(parameterized.TestCase):
    def test_the_examples_are_the_same_on_every_machine(self):
        texts = [
            f"{text}\t{label}"
            for split in world.SPLITS
            for text, label in world.classification_examples(split, 100)
        ]
        self.assertEqual(_digest(texts), "edebbb84b0a77abe")

    @parameterized.parameters(("train", "B"), ("validation", "B"), ("test", "A"))
    def test_a_split_knows_one_half_of_the_opinion_words(self, split, foreign):
        words = {
            word for text, _ in world.classification_examples(split, 1000) for word in _words(text)
        }
        self.assertEmpty(words & lexicon.opinion_words(foreign))
        own = lexicon.opinion_words("A" if foreign == "B" else "B")
        self.assertGreater(len(words & own), 0.95 * len(own))

    def test_splits_share_no_text(self):
        texts = {s: {t for t, _ in world.classification_examples(s, 3000)} for s in world.SPLITS}
        self.assertLen(set().union(*texts.values()), sum(map(len, texts.values())))

    def test_train_and_validation_share_no_text_for_any_seed(self):
        train = {
            t for seed in range(3) for t, _ in world.classification_examples("train", 500, seed)
        }
        held_out = {
            t
            for seed in range(3)
            for t, _ in world.classification_examples("validation", 500, seed)
        }
        self.assertEmpty(train & held_out)

    def test_labels_are_balanced_and_not_in_the_text(self):
        examples = world.classification_examples("test", 1000)
        counts = collections.Counter(label for _, label in examples)
        self.assertEqual(counts, {label: 500 for label in lexicon.LABELS})
        for text, _ in examples:
            self.assertEmpty(set(_words(text)) & set(lexicon.LABELS))

    def test_most_opinions_agree_with_the_label(self):
        opinions = lexicon.opinions()
        agreeing = collections.Counter()
        for text, label in world.classification_examples("test", 500):
            for word in _words(text):
                for polarity in lexicon.LABELS:
                    if any(word in opinions[c, polarity] for c in lexicon.CATEGORIES):
                        agreeing[polarity == label] += 1
        self.assertBetween(agreeing[True] / agreeing.total(), 0.9, 0.99)

    def test_an_unknown_split_names_the_nearest(self):
        with self.assertRaisesRegex(ValueError, "Split 'valid'.*'validation'"):
            world.classification_examples("valid", 1)


if __name__ == "__main__":
    absltest.main()
