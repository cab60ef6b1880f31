# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest, flagsaver

from prompt_tuning.models import network
from tests.benchmarks import memory_benchmark, memory_worker

_FIGURES = {
    "peft": {"peak": 4e9, "cpu": 10.0, "losses": [2.0, 1.9]},
    "peft_checkpointing": {"peak": 2e9, "cpu": 14.0, "losses": [2.0, 1.9]},
    "low": {"peak": 1e9, "cpu": 7.0, "losses": [2.0001, 1.9], "predicted": 5e8},
    "low_int8": {"peak": 5e8, "cpu": 7.0, "losses": [2.02, 1.9], "predicted": 4e8},
}


class TableTest(absltest.TestCase):
    def test_ratios(self):
        lines = memory_benchmark.table(_FIGURES)
        self.assertLen(lines, 2 + len(_FIGURES))
        self.assertIn("| 1,000 | 0.25x | 7.0 | 0.50x | 500 |", lines[4])

    def test_without_the_peer(self):
        lines = memory_benchmark.table({"low": _FIGURES["low"]})
        self.assertIn("| 1,000 |  | 7.0 |  | 500 |", lines[2])

    def test_medians(self):
        found = memory_benchmark.medians([{"cpu": x, "losses": [x]} for x in (3.0, 1.0, 2.0)])
        self.assertEqual(found, {"cpu": 2.0, "losses": [3.0]})

    @flagsaver.flagsaver(peer_python="none")
    def test_page(self):
        page = memory_benchmark.report(_FIGURES)
        self.assertIn("batch 32, 128 input tokens and 100 prompt positions", page)
        self.assertIn("4,000", page)


class AgreementTest(absltest.TestCase):
    def test_narrow_weights_may_differ_more(self):
        memory_benchmark.check_losses(_FIGURES)

    def test_other_work_is_refused(self):
        other = _FIGURES | {"low": _FIGURES["low"] | {"losses": [2.001]}}
        with self.assertRaisesRegex(ValueError, "low has the loss 2.001 .* PEFT 2.0"):
            memory_benchmark.check_losses(other)


class RowsTest(absltest.TestCase):
    def test_settings_are_fields_of_the_model(self):
        sizes = {"vocab_size": 8, "emb_dim": 8, "num_heads": 1, "head_dim": 8, "mlp_dim": 8}
        sizes |= {"num_encoder_layers": 1, "num_decoder_layers": 1}
        for row in memory_benchmark.ROWS:
            if not row.peer:
                config = network.T5Config(**sizes, dtype="float32", **row.settings)
                self.assertIsNotNone(memory_worker.make_model(config, 3).optimizer_def)


if __name__ == "__main__":
    absltest.main()
