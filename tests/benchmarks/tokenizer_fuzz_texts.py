# SPDX-License-Identifier: Apache-2.0
"""Texts that are hard to tokenize exactly: what rounding, white space and broken UTF-8 decide.

Needs nothing but the standard library, since it also runs in environments that hold one peer
each. The texts are a function of the seed.
"""

import random
from collections.abc import Iterator

_SPACES = [
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\u00a0",
    "\u3000",
    "\u0085",
    "\u2028",
    "\u2003",
    "\u2581",
]
_ODD_CHARACTERS = [
    *["\0", "\x01", "\x1b", "\x7f", "\u00ad", "\u200b", "\u200d", "\u2060", "\ufeff", "\ufffd"],
    *["\u00b4", "\u00a8", "\u0301", "\u0308", "\u0344", "\u20dd", "\u05b0", "\u064b", "\u3099"],
    *["\ufb01", "\uff21", "\uff5e", "\u2126", "\u00bd", "\u2460", "\u33a5", "\ufdfa", "\uac00"],
    *["\u1100\u1161\u11a8", "\U0001f600", "\U0001d49c", "\U000e0001", "\u4e2d", "\u304c", "\u0130"],
]
_WORDS = """the of and to in is that for it as was with be by on not he his but at are this have from
or had an they which one you were all her she there would their we him been has when who will no more
if out so up said what its about than into them can only other time new some could these two may then
do first any like my now over such our man even most made after also did many off before must well
internationalization counterproductive characteristically unconstitutional ation ing s ' 's . , : ;
Hello World HTTP_STATUS foo(bar) x86_64 e.g. 3.14159 0xdeadbeef https://example.org/a?b=c#d snake_case
CamelCaseWord user@example.com --verbose -lpthread ./configure *.cc [1] {x} <br/> a/b/c 12,345.67
über naïve Straße résumé coöperate Привет мир 你好世界 日本語のテキスト 한국어 עברית العربية ελληνικά""".split()
_SYMBOLS = [
    "<mask>",
    "<extra_id_0>",
    "<extra_id_7>",
    "<extra_id_99>",
    "\u2581<extra_id_3>",
    "<extra_id_",
]
_TIES = [
    "-",
    "=",
    ".",
    "_",
    "*",
    "#",
    "a",
    "A",
    "0",
    "1",
    "ab",
    "0a",
    "()",
    "!?",
    "\u2014",
    "\u4e2d",
]


def texts(seed: int, count: int) -> Iterator[bytes]:
    """`count` texts of 0 bytes to a few thousand; a few are longer."""
    rng = random.Random(seed)
    kinds = [_bytes, _code_points, _runs, _fragments, _fragments, _mixed, _mixed, _long_word]
    for _ in range(count):
        yield rng.choice(kinds)(rng)


def huge_texts(seed: int) -> Iterator[bytes]:
    """A few texts of hundreds of thousands of bytes, where scores become large."""
    rng = random.Random(seed)
    yield b" ".join(rng.choice(_WORDS).encode() for _ in range(60_000))
    yield "".join(rng.choice(_WORDS + _SPACES + _ODD_CHARACTERS) for _ in range(60_000)).encode()
    yield b"-" * 200_000
    yield b"- " * 100_000
    yield bytes(rng.choice(b"abcdefgh") for _ in range(150_000))
    yield "\u4e2d".encode() * 50_000
    yield b"<extra_id_0>" * 10_000 + b" word" * 30_000


def _length(rng: random.Random) -> int:
    return rng.choice([0, 1, 2, 3, 5, 8, 13, 21, 34, 62, 64, 65, 130])


def _bytes(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return rng.randbytes(_length(rng))
    # Mostly the bytes that begin, go on, or break off characters.
    alphabet = b"\xe2\x96\x81\xf0\x9f\x98\x80\xc3\xa9\xed\xa0\x80\xff\xfe\xc0\x80 ab\n\0"
    return bytes(rng.choice(alphabet) for _ in range(_length(rng)))


def _code_points(rng: random.Random) -> bytes:
    top = rng.choice([0x80, 0x250, 0x600, 0x3100, 0x10000, 0x110000])
    return "".join(chr(rng.randrange(top)) for _ in range(_length(rng))).encode(
        "utf-8", "surrogatepass"
    )


def _runs(rng: random.Random) -> bytes:
    """Runs of one character: ways to cut them differ in their order only."""
    parts = []
    for _ in range(rng.randrange(1, 12)):
        parts.append(rng.choice(_TIES) * rng.randrange(1, 40))
        parts.append(rng.choice(["", " ", rng.choice(_WORDS), " " + rng.choice(_WORDS) + " "]))
    return "".join(parts).encode()


def _fragments(rng: random.Random) -> bytes:
    """Words, mostly apart, now and then with a symbol among them."""
    parts = []
    for _ in range(rng.randrange(0, 60)):
        parts.append(rng.choice(_WORDS) if rng.random() < 0.95 else rng.choice(_SYMBOLS))
        parts.append(" " if rng.random() < 0.8 else rng.choice(["", *_SPACES]))
    return "".join(parts).encode()


def _mixed(rng: random.Random) -> bytes:
    everything = [_WORDS, _SPACES, _ODD_CHARACTERS, _SYMBOLS, _TIES]
    return "".join(rng.choice(rng.choice(everything)) for _ in range(rng.randrange(0, 40))).encode()


def _long_word(rng: random.Random) -> bytes:
    """No white space at all."""
    alphabet = rng.choice(["abcdefghij", "ab-", "aeiourstln", "0123456789abcdef", "xX_./:(){}"])
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 600))).encode()
