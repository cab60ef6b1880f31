# SPDX-License-Identifier: Apache-2.0
"""The short form of tokenizer_exactness: a few minutes of hard texts against two references."""

import argparse
import importlib.util
import os
import pathlib

from absl.testing import absltest, parameterized

from tests.benchmarks import tokenizer_exactness, tokenizer_fuzz_texts

_REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_TINY = _REPOSITORY / "data_ops" / "tokenizer" / "testdata" / "tiny.model"
# How many times more texts than usual; 20 takes some minutes.
_SCALE = int(os.environ.get("TOKENIZER_EXACTNESS_SCALE", "1"))


def _shared_data() -> pathlib.Path:
    return pathlib.Path(
        os.environ.get("PROMPT_TUNING_SHARED_DATA") or _REPOSITORY.parent / "shared" / "data"
    )


def _run(model: pathlib.Path, reference: str, corpus: list[str]) -> int:
    return tokenizer_exactness.run(
        argparse.Namespace(
            model=str(model),
            reference=reference,
            corpus=corpus,
            max_tokens=1e6 * _SCALE,
            fuzz_texts=20_000 * _SCALE,
            seed=1,
        )
    )


class ExactnessTest(parameterized.TestCase):
    @parameterized.parameters("sentencepiece", "tensorflow_text")
    def test_t5_vocabulary(self, reference):
        model = _shared_data() / "t5_vocab" / "sentencepiece.model"
        if not model.exists():
            self.skipTest(f"the T5 vocabulary is not at {model}; set PROMPT_TUNING_SHARED_DATA.")
        if importlib.util.find_spec(reference) is None:
            self.skipTest(f"{reference} is not installed.")
        corpus = _shared_data() / "sst2" / "train.tsv"
        self.assertEqual(_run(model, reference, [str(corpus)] if corpus.exists() else []), 0)

    def test_tiny_vocabulary(self):
        self.assertEqual(_run(_TINY, "sentencepiece", []), 0)


class ToolTest(parameterized.TestCase):
    @parameterized.parameters(
        ("sentencepiece", "0.1.97", "classic"),
        ("sentencepiece", "0.2.1", "classic"),
        ("sentencepiece", "0.2.3", "0.2.3"),
        ("tensorflow_text", "2.21.1", "classic"),
    )
    def test_semantics_of(self, reference, version, semantics):
        self.assertEqual(tokenizer_exactness.semantics_of(reference, version), semantics)

    def test_a_difference_is_counted(self):
        model = _TINY.read_bytes()
        wrong = lambda texts: [[7] for _ in texts]
        comparison = tokenizer_exactness.Comparison(model, 0, "classic", wrong)
        comparison.compare([b"the cat", b"sleeps"])
        # Both texts, and each in three ways.
        self.assertEqual((comparison.texts, comparison.mismatches), (2, 6))

    def test_lines_and_documents(self):
        path = pathlib.Path(self.create_tempfile(content="line\n" * 1000).full_path)
        texts = list(tokenizer_exactness.lines_and_documents([str(path)]))
        self.assertEqual(texts, [b"line"] * 1000 + [b"line\n" * 100])

    def test_batches(self):
        texts = [b"x" * 100] * 10
        made = list(tokenizer_exactness.batches(texts, max_bytes=300))
        self.assertEqual([len(batch) for batch in made], [3, 3, 3, 1])

    def test_texts_are_a_function_of_the_seed(self):
        one, same, other = (list(tokenizer_fuzz_texts.texts(seed, 50)) for seed in (1, 1, 2))
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)


if __name__ == "__main__":
    absltest.main()
