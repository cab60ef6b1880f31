# SPDX-License-Identifier: Apache-2.0
"""A small synthetic world of English reviews, generated from a seed.

`reviews` makes the text that the bundled model is pre-trained on; `classification_examples` makes
the labelled task that prompts are tuned for. The text is lower case with plain punctuation. This
module knows no vocabulary and no model; one token here (a word, a comma, a full stop) is one piece
of the bundled vocabulary, so lengths can be bounded in tokens.
"""

import dataclasses
import difflib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from prompt_tuning.bundled import grammar, lexicon

SPLITS = ("train", "validation", "test")
# Pre-training examples have 32 positions, one of them for the end of the sequence.
MAX_TOKENS = 31

_ARTICLE = re.compile(r"\ba (?=[aeio]|u(?!ni|se))")


@dataclasses.dataclass(frozen=True)
class Rates:
    """How often the parts of a review occur; each is a probability."""

    second_sentence: float = 0.75
    third_sentence: float = 0.3
    negated: float = 0.06
    contrast: float = 0.05
    fact: float = 0.2
    verdict: float = 0.85
    verdict_first: float = 0.3
    verdict_label: float = 0.75
    distractor: float = 0.3
    distractor_positive: float = 0.8


PRETRAINING = Rates()
# The texts to classify are the opinions alone: a verdict would hold the answer.
CLASSIFICATION = Rates(verdict=0.0, distractor=0.0)


class _Draws:
    """Uniform numbers in blocks: one draw at a time from a NumPy generator is ten times slower."""

    def __init__(self, *entropy: int):
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        self._next = self._numbers(generator).__next__

    @staticmethod
    def _numbers(generator: np.random.Generator) -> Iterator[float]:
        while True:
            yield from generator.random(8192).tolist()

    def chance(self, probability: float) -> bool:
        return self._next() < probability

    def pick(self, items: Sequence):
        return items[int(self._next() * len(items))]


@dataclasses.dataclass(frozen=True)
class _Writer:
    """Writes reviews as lists of tokens."""

    draws: _Draws
    opinions: Mapping[tuple[str, str], tuple[str, ...]]
    rates: Rates

    def review(self, polarity: str) -> list[str]:
        """Tokens of one review; every opinion in it has the polarity given."""
        draws, rates = self.draws, self.rates
        domain = draws.pick(lexicon.DOMAINS)
        fill = self._filler(domain, polarity)
        count = 1 + draws.chance(rates.second_sentence)
        count += count == 2 and draws.chance(rates.third_sentence)
        sentences = [fill(self._opinion_pattern()) for _ in range(count)]
        if draws.chance(rates.fact):
            self._insert(sentences, fill(draws.pick(grammar.FACT[domain])))
        if draws.chance(rates.distractor):
            self._insert(sentences, self._distractor())
        if draws.chance(rates.verdict):
            labelled = draws.chance(rates.verdict_label)
            patterns = grammar.VERDICT_LABEL if labelled else grammar.VERDICT_OTHER[polarity]
            first = draws.chance(rates.verdict_first)
            sentences.insert(0 if first else len(sentences), fill(draws.pick(patterns)))
        return [token for sentence in sentences for token in sentence]

    def _opinion_pattern(self) -> str:
        if self.draws.chance(self.rates.negated):
            return self.draws.pick(grammar.NEGATED)
        if self.draws.chance(self.rates.contrast):
            return self.draws.pick(grammar.CONTRAST)
        return self.draws.pick(grammar.OPINION)

    def _insert(self, sentences: list[list[str]], sentence: list[str]) -> None:
        sentences.insert(self.draws.pick(range(len(sentences) + 1)), sentence)

    def _distractor(self) -> list[str]:
        positive = self.draws.chance(self.rates.distractor_positive)
        slots = {"LABEL": [lexicon.LABELS[positive]], **grammar.SLOTS}
        return self._fill(self.draws.pick(grammar.DISTRACTOR), slots)

    def _filler(self, domain: str, polarity: str) -> Callable[[str], list[str]]:
        slots = {
            "ADJ": self.opinions["adjective", polarity],
            "ANTI": self.opinions["adjective", lexicon.opposite(polarity)],
            "VERB": self.opinions["verb", polarity],
            "NOUN": self.opinions["noun", polarity],
            "ITEM": lexicon.ITEMS[domain],
            "ASPECT": lexicon.ASPECTS[domain],
            "LABEL": (polarity,),
            **grammar.SLOTS,
        }
        return lambda pattern: self._fill(pattern, slots)

    def _fill(self, pattern: str, slots: Mapping[str, Sequence[str]]) -> list[str]:
        pick = self.draws.pick
        return [pick(slots[token]) if token in slots else token for token in pattern.split()]


def _text(tokens: list[str]) -> str:
    text = " ".join(tokens).replace(" ,", ",").replace(" .", ".")
    return _ARTICLE.sub("an ", text)


def reviews(
    seed: int,
    n: int,
    words: str = "both",
    flipped_b: bool = False,
    rates: Rates = PRETRAINING,
    max_tokens: int = MAX_TOKENS,
) -> list[str]:
    """`n` reviews, about half of each polarity; the same arguments give the same text everywhere.

    Args:
      seed: of the generator.
      n: how many reviews.
      words: which half of the opinion words to use: "A", "B" or "both".
      flipped_b: use the B words with the opposite polarity.
      rates: how often each part of a review occurs.
      max_tokens: longer reviews are thrown away.

    Raises:
      ValueError: `words` is unknown.
    """
    draws = _Draws(seed)
    writer = _Writer(draws, lexicon.opinions(words, flipped_b), rates)
    texts: list[str] = []
    while len(texts) < n:
        tokens = writer.review(draws.pick(lexicon.LABELS))
        if len(tokens) <= max_tokens:
            texts.append(_text(tokens))
    return texts


def classification_examples(
    split: str, n: int, seed: int = 0, rates: Rates = CLASSIFICATION, max_tokens: int = MAX_TOKENS
) -> list[tuple[str, str]]:
    """`n` pairs (review, "positive" or "negative"), labels alternating, no text twice.

    The opinion words of `train` and `validation` are the A half, those of `test` the B half. A text
    belongs to `train` or to `validation` by its checksum, so the two share none whatever the sizes
    and seeds.

    Raises:
      ValueError: `split` is unknown.
    """
    if split not in SPLITS:
        nearest = difflib.get_close_matches(split, SPLITS, n=1) or SPLITS[:1]
        raise ValueError(
            f"Split {split!r} is unknown; accepted are {', '.join(SPLITS)}. "
            f"Did you mean {nearest[0]!r}?"
        )
    writer = _Writer(
        _Draws(seed, SPLITS.index(split)), lexicon.opinions("B" if split == "test" else "A"), rates
    )
    examples: dict[str, str] = {}
    while len(examples) < n:
        label = lexicon.LABELS[len(examples) % len(lexicon.LABELS)]
        tokens = writer.review(label)
        text = _text(tokens)
        if len(tokens) <= max_tokens and text not in examples and _belongs(text, split):
            examples[text] = label
    return list(examples.items())


def _belongs(text: str, split: str) -> bool:
    held_out = zlib.crc32(text.encode()) % 8 == 0
    return {"train": not held_out, "validation": held_out, "test": True}[split]
