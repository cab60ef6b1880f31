# SPDX-License-Identifier: Apache-2.0
"""That the programs of the benchmark do what their names say; their speed is not tested."""

import contextlib
import io

import numpy as np
import rich.console
from absl.testing import absltest, flagsaver
from flax import traverse_util

from prompt_tuning.models import network
from tests.benchmarks import decoding_benchmark

TINY = {"size": "tiny", "batch": 3, "inputs_length": 5, "prompt_length": 2, "prompts": 3,
        "targets_length": 4, "rounds": 1}  # fmt: skip


class DecodingBenchmarkTest(absltest.TestCase):
    def test_measure_takes_turns_and_keeps_the_medians(self):
        order = []
        cases = {name: lambda name=name: order.append(name) for name in ("a", "b")}
        times = iter([(9.0, 9.0), (1.0, 5.0), (3.0, 4.0), (2.0, 6.0)])
        cases["elsewhere"] = lambda: next(times)
        results = decoding_benchmark.measure(cases, 3)
        self.assertEqual(order, ["a", "b"] * 4)
        self.assertEqual(results["elsewhere"], (2.0, 5.0))
        self.assertGreaterEqual(results["a"][1], 0)

    def test_a_run_without_a_peer(self):
        out = io.StringIO()
        with flagsaver.flagsaver(**TINY), contextlib.redirect_stdout(out):
            decoding_benchmark.main(["decoding_benchmark"])
        for name in ("greedy, one prompt", "beam-4, 3 prompts", "label scores, 3 prompts"):
            self.assertIn(name, out.getvalue())

    def test_report_compares_with_the_peer(self):
        results = {
            "greedy, one prompt": (1.0, 2.0),
            "greedy, 3 prompts": (1.5, 2.0),
            "greedy, one prompt, PEFT": (2.0, 3.0),
            "greedy, 3 prompts, PEFT": (6.0, 3.0),
        }
        out = rich.console.Console(file=io.StringIO(), width=100)
        for table in decoding_benchmark.report(results):
            out.print(table)
        text = out.file.getvalue()
        self.assertIn("1.500", text)  # Ours, mixed against one.
        self.assertIn("3.000", text)  # PEFT's passes against one.
        self.assertIn("4.00", text)  # PEFT against ours.

    def test_nothing_is_timed_when_the_peer_disagrees(self):
        with flagsaver.flagsaver(**TINY):
            settings = decoding_benchmark.make_settings()
            cases = decoding_benchmark.our_cases(settings)
            model = decoding_benchmark._make_model(
                network.T5Config(**settings.sizes, dtype="float32"), 1, None
            )
        params = traverse_util.flatten_dict(decoding_benchmark._parameters(model), sep="/")

        class Peer:
            def ask(self, *command):
                return (0.0, 0.0), np.ones((3, 1, 64), np.float32)

        with self.assertRaisesRegex(ValueError, "logits differ by .* nothing is timed"):
            decoding_benchmark.check_agreement(Peer(), settings, params, cases)

    def test_every_search_runs_to_its_length(self):
        with flagsaver.flagsaver(**TINY):
            settings = decoding_benchmark.make_settings()
            cases = decoding_benchmark.our_cases(settings)
        for answer in cases["greedy, 3 prompts"]():
            self.assertLen(answer.text.split(), settings.targets_length)


if __name__ == "__main__":
    absltest.main()
