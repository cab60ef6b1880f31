# SPDX-License-Identifier: Apache-2.0
"""The benchmark's arithmetic and its report; what it times is no business of a test."""

import argparse
import os
from xml.etree import ElementTree

from absl.testing import absltest

from tests.benchmarks import tokenizer_benchmark


def _answers(*cpu: float, checksums=(1, 2)) -> list[dict]:
    shared = {"megabytes": 6.0, "tokens": 2_000_000, "checksums": list(checksums)}
    return [{"cpu": seconds, "wall": seconds / 2, **shared} for seconds in cpu]


def _results(threads=(1,)) -> dict:
    times = {"ours, ragged": (0.1, 0.3, 0.2), "tensorflow_text, eager": (2.0, 3.0, 4.0)}
    return {
        (name, "prose", count, state): _answers(*cpu)
        for name, cpu in times.items()
        for count in threads
        for state in ("cold", "warm")
    }


class TokenizerBenchmarkTest(absltest.TestCase):
    def test_rate_is_the_median(self):
        self.assertAlmostEqual(tokenizer_benchmark.rate(_answers(1, 2, 6), "cpu"), 3.0)
        self.assertAlmostEqual(tokenizer_benchmark.rate(_answers(1, 2, 6), "wall"), 6.0)

    def test_table(self):
        lines = tokenizer_benchmark.table(_results(), "prose")
        self.assertLen(lines, 4)
        self.assertEqual(lines[2], "| ours, ragged | 30.0 | 30.0 | 1.0 | 10.00 | 0 of 2 |")
        self.assertEqual(lines[3], "| tensorflow_text, eager | 2.0 | 2.0 | 15.0 | 0.67 | 0 of 2 |")
        self.assertLen({line.count("|") for line in lines}, 1)

    def test_two_threads_are_compared_by_the_clock(self):
        results = _results(threads=(1, 2))
        results["ours, ragged", "prose", 2, "warm"] = _answers(0.1)
        lines = tokenizer_benchmark.table(results, "prose")
        self.assertIn("| 2.00 |", lines[2])
        self.assertLen({line.count("|") for line in lines}, 1)

    def test_texts_that_differ(self):
        results = _results()
        results["ours, ragged", "prose", 1, "cold"] = _answers(1, checksums=(1, 7, 9))
        found = tokenizer_benchmark.differing(
            results, "ours, ragged", "prose", "tensorflow_text, eager"
        )
        self.assertEqual(found, "1 of 2")

    def test_chart_is_svg_with_a_bar_each(self):
        root = ElementTree.fromstring(tokenizer_benchmark.chart(_results(), ["prose"]))
        bars = root.findall("{http://www.w3.org/2000/svg}rect")
        self.assertEqual([float(bar.get("width")) for bar in bars], [420.0, 28.0])

    def test_a_corpus_has_a_name(self):
        self.assertEqual(tokenizer_benchmark._corpus("prose=/a=b"), ("prose", "/a=b"))
        with self.assertRaisesRegex(argparse.ArgumentTypeError, "not of the form name=path"):
            tokenizer_benchmark._corpus("/a")

    def test_a_variant_that_fails_is_left_out(self):
        class Broken:
            def ask(self, **request):
                return {"error": "ModuleNotFoundError: no such peer"}

        workers = {(tokenizer_benchmark.HERE, 1): Broken()}
        results = tokenizer_benchmark.measure(workers, {"prose": "/p"}, reps=2)
        self.assertEmpty(results)
        self.assertEqual(tokenizer_benchmark.table(results, "prose")[2:], [])

    def test_a_variant_that_fails_late_has_no_results(self):
        class LateFailure:
            def ask(self, variant, cold, **request):
                fails = variant == "seqio, in-graph map" and not cold
                return {"error": "the process ended with -9"} if fails else _answers(1.0)[0]

        workers = {(tokenizer_benchmark.HERE, 1): LateFailure()}
        results = tokenizer_benchmark.measure(workers, {"prose": "/p"}, reps=1)
        self.assertEqual(
            {variant for variant, *_ in results},
            {
                "ours, ragged",
                "ours, padded to 128",
                "ours, padded to 256",
                "tensorflow_text, eager",
            },
        )
        self.assertLen(tokenizer_benchmark.table(results, "prose"), 6)

    def test_documents_are_not_padded(self):
        class Answering:
            def ask(self, **request):
                return _answers(1.0)[0]

        workers = {(tokenizer_benchmark.HERE, 1): Answering()}
        corpora = {"lines": "/lines.txt", "docs": "/docs.bin"}
        results = tokenizer_benchmark.measure(workers, corpora, reps=1)
        self.assertIn(("ours, padded to 128", "lines", 1, "cold"), results)
        self.assertNotIn(("ours, padded to 128", "docs", 1, "cold"), results)
        root = ElementTree.fromstring(tokenizer_benchmark.chart(results, list(corpora)))
        self.assertLen(root.findall("{http://www.w3.org/2000/svg}rect"), 8)

    def test_a_process_that_ends_is_started_again(self):
        python = self.create_tempfile(
            content="#!/bin/sh\nread request\n"
            'case "$request" in *good*) echo "ANSWER {}"; read next;; *) exit 3;; esac\n'
        )
        os.chmod(python.full_path, 0o755)
        worker = tokenizer_benchmark.Worker(python.full_path, "m", "j", threads=1)
        self.assertEqual(worker.ask(name="bad"), {"error": "the process ended with 3"})
        self.assertEqual(worker.ask(name="good"), {})
        worker.close()


if __name__ == "__main__":
    absltest.main()
