# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest, parameterized

from prompt_tuning.bundled import grammar, lexicon

WORLD_SLOTS = {"ADJ", "ANTI", "VERB", "NOUN", "ITEM", "ASPECT", "LABEL"}


class GrammarTest(parameterized.TestCase):
    def test_patterns_end_with_a_full_stop_and_are_written_once(self):
        for pattern in grammar.patterns():
            self.assertEndsWith(pattern, " .")
        self.assertLen(set(grammar.patterns()), len(grammar.patterns()))

    def test_every_slot_is_known(self):
        slots = {
            token for pattern in grammar.patterns() for token in pattern.split() if token.isupper()
        }
        self.assertEqual(slots, WORLD_SLOTS | set(grammar.SLOTS))

    def test_no_opinion_or_label_word_outside_the_slots(self):
        fixed = {token for pattern in grammar.patterns() for token in pattern.split()}
        fixed.update(word for words in grammar.SLOTS.values() for word in words)
        self.assertEmpty(fixed & (lexicon.opinion_words() | set(lexicon.LABELS)))

    @parameterized.named_parameters(
        ("opinion", grammar.OPINION), ("negated", grammar.NEGATED), ("contrast", grammar.CONTRAST)
    )
    def test_opinions_have_an_opinion_word_and_no_label(self, patterns):
        for pattern in patterns:
            self.assertNotEmpty({"ADJ", "ANTI", "VERB", "NOUN"} & set(pattern.split()), msg=pattern)
            self.assertNotIn("LABEL", pattern.split())

    def test_facts_have_neither_opinion_nor_label(self):
        self.assertEqual(set(grammar.FACT), set(lexicon.DOMAINS))
        for patterns in grammar.FACT.values():
            for pattern in patterns:
                slots = {token for token in pattern.split() if token.isupper()}
                self.assertLessEqual(slots, {"ITEM", *grammar.SLOTS}, msg=pattern)

    def test_only_distractors_begin_with_the_label_word(self):
        for pattern in grammar.patterns():
            begins = pattern.startswith("LABEL ")
            self.assertEqual(begins, pattern in grammar.DISTRACTOR, msg=pattern)

    def test_tokens_hold_every_word_of_the_lexicon(self):
        tokens = grammar.tokens()
        self.assertLessEqual(lexicon.opinion_words() | set(lexicon.LABELS), tokens)
        self.assertContainsSubset({"plot", "hotel", ",", ".", "a", "an", "seven"}, tokens)
        self.assertEmpty({token for token in tokens if token.isupper()})


if __name__ == "__main__":
    absltest.main()
