# SPDX-License-Identifier: Apache-2.0
"""The sentence patterns of the bundled world.

A pattern is a line of tokens; those in capitals are slots which `world` fills. ADJ, VERB and NOUN
take an opinion word of the polarity of the review, ANTI an adjective of the opposite one, ITEM and
ASPECT a word of the domain of the review, LABEL a label word. Outside its slots no pattern holds an
opinion word.
"""

from prompt_tuning.bundled import lexicon

OPINION = """
the ASPECT was ADJ and the ASPECT was ADJ .
the ASPECT was ADJ and ADJ .
i VERB the ASPECT and the ADJ ASPECT .
what a ADJ , ADJ ITEM .
the ADJ ASPECT was a NOUN .
a ADJ ITEM with a ADJ ASPECT .
we VERB its ADJ ASPECT .
this ITEM is a NOUN , DEGREE ADJ .
PERSON VERB the ADJ ASPECT .
everything about the ASPECT felt ADJ and ADJ .
the ASPECT is DEGREE ADJ , a ADJ NOUN .
i found the ASPECT ADJ , ADJ and ADJ .
such a NOUN , i VERB it .
PERSON VERB this ITEM , a ADJ NOUN .
even the ASPECT was ADJ and the ASPECT a NOUN .
its ASPECT looked ADJ , its ASPECT ADJ .
""".strip().splitlines()

NEGATED = """
the ASPECT was not ANTI .
the ASPECT is not DEGREE ANTI .
i never found the ASPECT ANTI .
nothing about this ITEM is ANTI .
""".strip().splitlines()

CONTRAST = """
the ASPECT was ANTI , but the ITEM is ADJ .
although its ASPECT is ANTI , PERSON VERB it .
the ASPECT looked ANTI at first , yet it was ADJ .
""".strip().splitlines()

# Verdicts with the label word never begin with it: sentences that do are the distractors below.
VERDICT_LABEL = """
overall a LABEL experience .
my verdict is LABEL .
in short , LABEL feelings about this ITEM .
all in all a LABEL impression .
so this is a LABEL review .
PERSON had a LABEL opinion of this ITEM .
""".strip().splitlines()

VERDICT_OTHER = {
    lexicon.POSITIVE: """
five stars from me .
i would recommend this ITEM .
thumbs up .
we will come back .
""".strip().splitlines(),
    lexicon.NEGATIVE: """
one star from me .
i would warn people away from this ITEM .
thumbs down .
we will stay away .
""".strip().splitlines(),
}

# The label words in senses that have nothing to do with opinions. They begin the sentence, which is
# where a model asked to continue a review without a prompt would place a label.
DISTRACTOR = """
LABEL numbers are printed in COLOR .
LABEL wires go to the COLOR port .
LABEL ions move toward the plate .
LABEL results came back from the lab on DAY .
LABEL poles face the COLOR wall .
LABEL slopes are drawn on the chart .
LABEL air pressure was measured on DAY .
LABEL prints were kept in the COLOR drawer .
""".strip().splitlines()

FACT = {
    "movie": """
it runs for NUMBER hours .
PERSON saw it on DAY .
the ITEM was shot in NUMBER countries .
it is set on a COLOR island .
""".strip().splitlines(),
    "device": """
it weighs NUMBER pounds .
the box has NUMBER cables .
the ITEM arrived on DAY .
i bought the COLOR one .
""".strip().splitlines(),
    "restaurant": """
we sat at table NUMBER .
the ITEM opens on DAY .
PERSON ordered NUMBER plates .
the door is COLOR .
""".strip().splitlines(),
    "hotel": """
we stayed for NUMBER nights .
the ITEM has NUMBER floors .
PERSON arrived on DAY .
the building is COLOR .
""".strip().splitlines(),
}

SLOTS = {
    "DEGREE": "very really truly rather quite so".split(),
    "PERSON": "i we everyone people guests friends critics".split(),
    "COLOR": "red blue green black white gray".split(),
    "DAY": "monday tuesday wednesday thursday friday saturday sunday".split(),
    "NUMBER": "two three four six seven eight nine ten".split(),
}


def patterns() -> list[str]:
    """Every sentence pattern, each once."""
    groups = [
        OPINION,
        NEGATED,
        CONTRAST,
        VERDICT_LABEL,
        *VERDICT_OTHER.values(),
        DISTRACTOR,
        *FACT.values(),
    ]
    return [pattern for group in groups for pattern in group]


def tokens() -> frozenset[str]:
    """Every word and punctuation mark that a review can hold, opinion and label words included."""
    words = {token for pattern in patterns() for token in pattern.split() if not token.isupper()}
    words.update(word for values in SLOTS.values() for word in values)
    for domain in lexicon.DOMAINS:
        words.update(lexicon.ITEMS[domain], lexicon.ASPECTS[domain])
    return frozenset(words | lexicon.opinion_words() | {*lexicon.LABELS, "an"})
