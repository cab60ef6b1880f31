# SPDX-License-Identifier: Apache-2.0
"""The words of the bundled world: opinions with a polarity, and the things reviewed.

Every list of opinion words is cut into two halves, A and B. Prompts of the bundled task are trained
on reviews that use the A half alone and tested on reviews that use the B half alone. This module
knows words only: how they become sentences is the business of `grammar` and `world`.
"""

from collections.abc import Mapping

POSITIVE = "positive"
NEGATIVE = "negative"
LABELS = (NEGATIVE, POSITIVE)  # the order of label ids
CATEGORIES = ("adjective", "verb", "noun")
HALVES = ("A", "B", "both")

# An even number of words in each list, so that the halves have the same size.
_OPINIONS = {
    ("adjective", POSITIVE): """
        amazing awesome beautiful brilliant charming classy cheerful clever compelling dazzling
        delightful elegant enchanting engaging excellent exceptional exciting exquisite fabulous
        fantastic flawless fresh fun generous gorgeous graceful great heavenly impressive incredible
        inspired inviting joyful likable lively lovely magical magnificent marvelous masterful
        memorable outstanding perfect phenomenal pleasant polished radiant refined refreshing
        remarkable rewarding satisfying sensational smooth spectacular splendid stellar stunning
        stylish sublime superb terrific thoughtful thrilling vibrant witty wonderful worthy
    """,
    ("adjective", NEGATIVE): """
        abysmal annoying appalling atrocious awful awkward bad bland boring broken careless cheap
        clumsy clunky confusing crude depressing disappointing disgraceful disgusting dismal
        dreadful dreary dull embarrassing faulty feeble filthy flimsy forgettable frustrating
        ghastly grim hideous hollow horrible horrid insulting irritating lame lazy lifeless lousy
        mediocre messy miserable monotonous nasty painful pathetic pitiful pointless poor repulsive
        ridiculous rotten rude shabby shoddy sloppy stale tedious terrible tiresome ugly unpleasant
        vile worthless
    """,
    ("verb", POSITIVE): """
        admired adored applauded appreciated celebrated cheered cherished commended embraced
        endorsed enjoyed esteemed favored hailed loved praised prized relished revered saluted
        savored treasured valued welcomed
    """,
    ("verb", NEGATIVE): """
        abhorred bashed condemned criticized cursed deplored despised detested disliked dreaded
        endured hated lamented loathed mocked panned pitied regretted rejected resented scorned
        shunned slammed suffered
    """,
    ("noun", POSITIVE): """
        beauty blessing classic delight dream gem highlight hit jewel joy knockout marvel
        masterpiece miracle pleasure revelation sensation success treasure treat triumph victory
        winner wonder
    """,
    ("noun", NEGATIVE): """
        blunder bore calamity catastrophe chore disappointment disaster disgrace dud embarrassment
        eyesore failure fiasco flop insult joke letdown mess mistake nightmare ripoff shame travesty
        waste
    """,
}

# Things reviewed, and their parts, of the four domains.
ITEMS = {
    "movie": "film movie picture feature show".split(),
    "device": "phone laptop tablet gadget device".split(),
    "restaurant": "restaurant diner bistro place cafe".split(),
    "hotel": "hotel inn resort hostel lodge".split(),
}
ASPECTS = {
    "movie": """
        plot cast script acting ending soundtrack camerawork dialogue editing pacing premise opening
        direction humor romance villain hero scenery animation lighting finale narration
    """.split(),
    "device": """
        screen battery keyboard camera speaker design software charger hinge microphone touchpad
        display casing interface packaging warranty manual setup sound cable stand trackball
    """.split(),
    "restaurant": """
        soup steak pasta bread dessert salad service menu wine coffee sauce waiter kitchen terrace
        chicken rice fish curry cake pizza decor seating
    """.split(),
    "hotel": """
        room bed lobby pool view shower bathroom reception breakfast carpet balcony elevator gym spa
        parking location pillow mattress staff garden bar minibar
    """.split(),
}
DOMAINS = tuple(ITEMS)


def opposite(polarity: str) -> str:
    """The other polarity."""
    return NEGATIVE if polarity == POSITIVE else POSITIVE


def opinions(
    half: str = "both", flipped_b: bool = False
) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """`{(category, polarity): words}` of one half, or of both.

    Args:
      half: "A", "B" or "both".
      flipped_b: give the words of the B half the opposite polarity. This is the control that shows
        where the knowledge about the B words comes from.

    Raises:
      ValueError: `half` is none of the three.
    """
    if half not in HALVES:
        raise ValueError(
            f"Half {half!r} of the opinion words is unknown; accepted are {', '.join(HALVES)}."
        )
    words = {}
    for category in CATEGORIES:
        for polarity in LABELS:
            kept = _OPINIONS[category, polarity].split()
            other = _OPINIONS[category, opposite(polarity)].split()
            # Neighbours in the alphabet, which may share a stem, go to different halves.
            a = kept[0::2] if half != "B" else []
            b = (other if flipped_b else kept)[1::2] if half != "A" else []
            words[category, polarity] = (*a, *b)
    return words


def opinion_words(half: str = "both") -> frozenset[str]:
    """All opinion words of one half, without their polarity."""
    return frozenset(word for words in opinions(half).values() for word in words)
