# SPDX-License-Identifier: Apache-2.0
"""Corpora for the tokenizer's binaries, made of text that any Linux machine holds.

    python tests/benchmarks/text_corpora.py --output=/tmp/corpora --megabytes=20

Manual pages, documentation and Python sources become four files, each a function of what is
installed and of nothing else:

    prose.txt   sentences of plain English, a line each: words that occur again and again
    lines.txt   stretches of technical text: names, paths, numbers, code
    docs.bin    whole documents, separated by NULs
    all.txt     every line of everything, for the exactness run; only with --all_megabytes

Two machines get different texts. What is compared on them is compared on the same ones.
"""

import argparse
import gzip
import hashlib
import os
import pathlib
import random
import re
import textwrap
from collections.abc import Iterator

# Where Debian and Python keep text, and what it is called there.
ROOTS = [
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/lib/python3",
    "/usr/local/lib",
    "/usr/share/perl",
]
_SUFFIXES = (".txt", ".md", ".rst", ".py", ".pod", ".pm", ".html", ".changelog", "README", "NEWS")
_MANUAL = re.compile(r"/man/(?:[a-zA-Z_.@]+/)?man\d\w*/")
_MAX_FILE_BYTES = 2_000_000

_ROFF_REQUEST = re.compile(r"^[.'].*\n?", re.MULTILINE)
_ROFF_ESCAPE = re.compile(r"\\(?:f(?:\[\w*\]|\(..|.)|s[+-]?\d+|\*?\(..|\[\w+\]|[&|^%/,cd])")
_TAG = re.compile(r"<[^>\n]{1,200}>")
_SENTENCE = re.compile(r"(?:(?<=[.!?]\s)|^)[A-Z][^.!?]{30,400}[.!?](?=\s|$)")
_PLAIN = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*[,;:]?|[(]?[A-Za-z]+[)]?[,;:]?")

_LINE_BYTES = 200
_DOCUMENT_BYTES = (800, 20_000)


def find_files(roots: list[str]) -> list[str]:
    """Paths of text files below `roots`, in an order that is random but always the same."""
    found = []
    for root in roots:
        for folder, _, names in os.walk(root):
            found += [os.path.join(folder, name) for name in names]
    texts = [
        path
        for path in found
        if path.removesuffix(".gz").endswith(_SUFFIXES) or _MANUAL.search(path)
    ]
    return sorted(texts, key=lambda path: hashlib.sha256(path.encode()).digest())


def read_text(path: str) -> str:
    """A file as text, without the mark-up of manual pages and HTML; empty if it is none."""
    try:
        if os.path.islink(path) or os.path.getsize(path) > _MAX_FILE_BYTES:
            return ""
        raw = pathlib.Path(path).read_bytes()
        text = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError):
        return ""
    if "\0" in text:
        return ""
    if _MANUAL.search(path):
        text = _ROFF_ESCAPE.sub("", _ROFF_REQUEST.sub("", text)).replace("\\-", "-")
    if path.endswith(".html"):
        text = _TAG.sub(" ", text)
    return text


def paragraphs(text: str) -> Iterator[str]:
    """What blank lines separate, each as one line."""
    for paragraph in re.split(r"\n\s*\n", text):
        words = paragraph.split()
        if words:
            yield " ".join(words)


def sentences(text: str) -> Iterator[str]:
    """Sentences of nearly nothing but words."""
    for paragraph in paragraphs(text):
        for match in _SENTENCE.finditer(paragraph):
            words = match.group().split()
            plain = sum(_PLAIN.fullmatch(word.rstrip(".!?")) is not None for word in words)
            if len(words) >= 6 and plain >= 0.95 * len(words):
                yield match.group()


def technical_lines(text: str) -> Iterator[str]:
    for paragraph in paragraphs(text):
        for line in textwrap.wrap(paragraph, _LINE_BYTES, break_long_words=False):
            if len(line) >= 20:
                yield line


def documents(text: str) -> Iterator[str]:
    low, high = _DOCUMENT_BYTES
    if len(text) >= low:
        yield text[:high]


def raw_lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if line:
            yield line


class Collection:
    """The texts of one corpus: none twice, up to a number of bytes."""

    def __init__(self, split, max_bytes: int):
        self._split = split
        self._max_bytes = max_bytes
        self._size = 0
        self._seen: set[int] = set()
        self.texts: list[str] = []

    @property
    def full(self) -> bool:
        return self._size >= self._max_bytes

    def add_from(self, text: str) -> None:
        for part in self._split(text):
            if self.full:
                return
            if hash(part) not in self._seen:
                self._seen.add(hash(part))
                self.texts.append(part)
                self._size += len(part.encode()) + 1

    def write(self, path: pathlib.Path, separator: str) -> None:
        # A benchmark gives slow peers the beginning alone: it must be like the rest.
        random.Random(0).shuffle(self.texts)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text("".join(text + separator for text in self.texts), "utf-8")
        temporary.rename(path)


def make(output: pathlib.Path, megabytes: float, all_megabytes: float, roots: list[str]) -> None:
    """Writes the corpora into `output`.

    Raises:
      FileNotFoundError: there is no text below `roots`.
    """
    size, all_size = int(megabytes * 1e6), int(all_megabytes * 1e6)
    collections = {
        "prose.txt": Collection(sentences, size),
        "lines.txt": Collection(technical_lines, size),
        "docs.bin": Collection(documents, size),
        "all.txt": Collection(raw_lines, all_size),
    }
    for path in find_files(roots):
        wanting = [collection for collection in collections.values() if not collection.full]
        if not wanting:
            break
        text = read_text(path)
        for collection in wanting:
            collection.add_from(text)
    if not collections["lines.txt"].texts:
        raise FileNotFoundError(f"there is no text below {', '.join(roots)}; pass --roots.")
    output.mkdir(parents=True, exist_ok=True)
    for name, collection in collections.items():
        if collection.texts:
            collection.write(output / name, "\0" if name.endswith(".bin") else "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="a folder")
    parser.add_argument("--megabytes", type=float, default=20, help="of each corpus, at most")
    parser.add_argument("--all_megabytes", type=float, default=0, help="of all.txt")
    parser.add_argument("--roots", nargs="+", default=ROOTS, help="folders to search")
    arguments = parser.parse_args()
    make(arguments.output, arguments.megabytes, arguments.all_megabytes, arguments.roots)


if __name__ == "__main__":
    main()
