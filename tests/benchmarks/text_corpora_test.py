# SPDX-License-Identifier: Apache-2.0
"""What becomes of files on the way into a corpus."""

import gzip
import pathlib

from absl.testing import absltest

from tests.benchmarks import text_corpora

_PROSE = "The old house stood empty for many years. It was sold (twice) and nobody knew why."


class TextCorporaTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.create_tempdir().full_path)

    def _file(self, name: str, content: bytes) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)

    def test_manual_pages_lose_their_markup(self):
        page = b".TH LS 1\n.SH NAME\nls \\- list \\fBdirectory\\fR contents\n"
        path = self._file("man/man1/ls.1.gz", gzip.compress(page))
        self.assertEqual(text_corpora.read_text(path), "ls - list directory contents\n")

    def test_what_is_no_text_is_empty(self):
        for name, content in {"a.txt": b"\xff\xfe", "b.txt": b"a\0b", "c.txt.gz": b"no"}.items():
            self.assertEqual(text_corpora.read_text(self._file(name, content)), "")
        self.assertEqual(text_corpora.read_text(str(self.root / "missing")), "")

    def test_sentences(self):
        found = list(text_corpora.sentences(f"x = f(1)\n\n{_PROSE}\n\nSee a_b, c_d, e_f. Short."))
        self.assertEqual(
            found,
            [
                "The old house stood empty for many years.",
                "It was sold (twice) and nobody knew why.",
            ],
        )

    def test_lines_are_cut_between_words(self):
        lines = list(text_corpora.technical_lines("foo.bar(baz) " * 40 + "\n\nshort"))
        self.assertGreater(len(lines), 1)
        self.assertEqual(" ".join(lines), ("foo.bar(baz) " * 40).strip())

    def test_a_collection_holds_no_text_twice_and_ends(self):
        collection = text_corpora.Collection(text_corpora.raw_lines, max_bytes=10)
        collection.add_from("abc\n\nabc\ndef\nghi\njkl")
        self.assertEqual(collection.texts, ["abc", "def", "ghi"])
        self.assertTrue(collection.full)

    def test_make_is_a_function_of_the_files(self):
        for i in range(8):
            self._file(
                f"doc/{i}.txt", f"{_PROSE} Number {i} follows. {'More text. ' * 90}".encode()
            )
        made = []
        for run in range(2):
            output = self.root / f"corpora{run}"
            text_corpora.make(output, 1, 1, [str(self.root / "doc")])
            made.append({path.name: path.read_bytes() for path in output.iterdir()})
        self.assertEqual(set(made[0]), {"prose.txt", "lines.txt", "docs.bin", "all.txt"})
        self.assertEqual(made[0], made[1])
        self.assertEqual(made[0]["docs.bin"].count(b"\0"), 8)

    def test_no_text(self):
        with self.assertRaisesRegex(FileNotFoundError, "no text below .*; pass --roots"):
            text_corpora.make(self.root / "out", 1, 0, [str(self.root / "missing")])


if __name__ == "__main__":
    absltest.main()
