# SPDX-License-Identifier: Apache-2.0
"""That the programs of the benchmark do what their names say; their speed is not tested."""

import contextlib
import io
import sys
import types

import numpy as np
from absl.testing import absltest, flagsaver

from tests.benchmarks import decoding_benchmark

TINY = {"size": "tiny", "batch": 3, "inputs_length": 5, "prompt_length": 2, "prompts": 3,
        "targets_length": 4, "rounds": 1}  # fmt: skip


class DecodingBenchmarkTest(absltest.TestCase):
    def test_measure_takes_turns_and_keeps_the_fewest_seconds(self):
        order = []
        cases = {name: lambda name=name: order.append(name) for name in ("a", "b")}
        cases["slow"] = lambda: np.linalg.svd(np.ones((200, 200)))
        results = decoding_benchmark.measure(cases, 2)
        self.assertEqual(order, ["a", "b"] * 3)
        self.assertEqual(list(results), ["a", "b", "slow"])
        self.assertGreater(results["slow"][1], results["a"][1])

    def test_a_run_with_a_peer(self):
        seen = []
        peer = types.ModuleType("a_peer")
        peer.cases = lambda settings: {"greedy, a peer": lambda: seen.append(settings)}
        sys.modules["a_peer"] = peer
        self.addCleanup(sys.modules.pop, "a_peer")
        out = io.StringIO()
        with flagsaver.flagsaver(**TINY, peer="a_peer"), contextlib.redirect_stdout(out):
            decoding_benchmark.main(["decoding_benchmark"])
        for name in ("greedy, one prompt", "beam-4, 3 prompts", "label scores, 3 prompts"):
            self.assertIn(name, out.getvalue())
        self.assertIn("greedy, a peer", out.getvalue())
        self.assertLen(seen, 2)
        self.assertEqual(seen[0].tokens.shape, (3, 5))
        self.assertEqual(seen[0].prompts.shape, (3, 2, 16))
        self.assertGreater(seen[0].tokens.min(), 2)

    def test_every_search_runs_to_its_length(self):
        with flagsaver.flagsaver(**TINY):
            settings = decoding_benchmark.make_settings()
            cases = decoding_benchmark.our_cases(settings)
        for answer in cases["greedy, 3 prompts"]():
            self.assertLen(answer.text.split(), settings.targets_length)


if __name__ == "__main__":
    absltest.main()
