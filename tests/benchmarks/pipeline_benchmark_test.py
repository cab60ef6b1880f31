# SPDX-License-Identifier: Apache-2.0
"""Both sides of the benchmark do the same work; how fast is no business of a test."""

import pathlib

import numpy as np
from absl.testing import absltest

from tests.benchmarks import pipeline_benchmark

_TESTDATA = pathlib.Path(__file__).resolve().parents[2] / "data_ops" / "tokenizer" / "testdata"
_MODEL = str(_TESTDATA / "tiny.model")


class PipelineBenchmarkTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        folder = pathlib.Path(self.create_tempdir().full_path)
        corpus = folder / "corpus.txt"
        corpus.write_text("\n".join(f"The cat number {i} sleeps.\n" for i in range(30)))
        self.path = folder / "rows.tsv"
        self.count = pipeline_benchmark.write_tsv(str(corpus), self.path, 25)

    def test_the_batches_are_byte_identical(self):
        lengths = {"inputs": 12, "targets": 8}
        arguments = (str(self.path), _MODEL, lengths, 10)
        ours = list(pipeline_benchmark.ours(*arguments))
        theirs = list(pipeline_benchmark.seqios(*arguments))
        self.assertEqual((self.count, len(ours), len(theirs)), (25, 3, 3))
        for our_batch, their_batch in zip(ours, theirs, strict=True):
            rows = len(their_batch["encoder_input_tokens"])
            for name, array in their_batch.items():
                self.assertEqual(our_batch[name].dtype, array.dtype)
                np.testing.assert_array_equal(our_batch[name][:rows], array)

    def test_rate(self):
        batches = lambda: iter([{"encoder_input_tokens": np.zeros((5, 2))}] * 2)
        self.assertGreater(pipeline_benchmark.examples_per_cpu_second(batches, 10), 0)
        with self.assertRaisesRegex(AssertionError, "10 rows of 11"):
            pipeline_benchmark.examples_per_cpu_second(batches, 11)


if __name__ == "__main__":
    absltest.main()
