# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest, parameterized

from prompt_tuning.bundled import lexicon

LABELS = [{"testcase_name": label, "polarity": label} for label in lexicon.LABELS]


class LexiconTest(parameterized.TestCase):
    def test_hundreds_of_words_and_no_word_twice(self):
        words = [word for group in lexicon.opinions().values() for word in group]
        self.assertGreaterEqual(len(words), 200)
        self.assertLen(set(words), len(words))

    def test_halves_are_disjoint_equal_and_complete(self):
        a, b = lexicon.opinion_words("A"), lexicon.opinion_words("B")
        self.assertEmpty(a & b)
        self.assertLen(a, len(b))
        self.assertEqual(a | b, lexicon.opinion_words())

    def test_halves_have_every_category_and_polarity(self):
        for half in ("A", "B"):
            for key, words in lexicon.opinions(half).items():
                self.assertGreaterEqual(len(words), 10, msg=f"{half} {key}")

    @parameterized.named_parameters(LABELS)
    def test_the_same_number_of_words_for_each_polarity(self, polarity):
        for category in lexicon.CATEGORIES:
            words = lexicon.opinions()
            self.assertLen(
                words[category, polarity], len(words[category, lexicon.opposite(polarity)])
            )

    @parameterized.named_parameters(LABELS)
    def test_flipping_moves_the_b_words_and_leaves_the_a_words(self, polarity):
        plain_a, plain_b = lexicon.opinions("A"), lexicon.opinions("B")
        flipped = lexicon.opinions(flipped_b=True)
        for category in lexicon.CATEGORIES:
            expected = {
                *plain_a[category, polarity],
                *plain_b[category, lexicon.opposite(polarity)],
            }
            self.assertEqual(set(flipped[category, polarity]), expected)

    def test_domains_have_items_and_distinct_aspects(self):
        self.assertLen(lexicon.DOMAINS, 4)
        aspects = [word for words in lexicon.ASPECTS.values() for word in words]
        self.assertLen(set(aspects), len(aspects))
        self.assertEmpty(set(aspects) & lexicon.opinion_words())

    def test_an_unknown_half_is_refused(self):
        with self.assertRaisesRegex(ValueError, "Half 'C'.*A, B, both"):
            lexicon.opinions("C")


if __name__ == "__main__":
    absltest.main()
