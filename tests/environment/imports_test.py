# SPDX-License-Identifier: Apache-2.0
"""The environment itself: when this fails, the machine is broken and not the code."""

import importlib
import importlib.metadata
import sys

from absl.testing import absltest, parameterized


class ImportsTest(parameterized.TestCase):
    def test_python_is_a_supported_one(self):
        self.assertBetween(sys.version_info[:2], (3, 11), (3, 13))

    def test_python_is_the_virtual_environment(self):
        self.assertNotEqual(sys.prefix, sys.base_prefix)

    @parameterized.parameters(
        "absl",
        "flax.linen",
        "gin",
        "jax",
        "msgpack",
        "numpy",
        "optax",
        "pyarrow",
        "rich",
        "safetensors",
        "sentencepiece",
        "sklearn.metrics",
        "tensorboard",
        "tensorstore",
    )
    def test_imports(self, name):
        importlib.import_module(name)

    def test_seqio_and_tensorflow_import_together(self):
        importlib.import_module("seqio")
        self.assertIn("tensorflow", sys.modules)

    def test_jax_computes_on_the_cpu(self):
        import jax

        self.assertEqual(jax.devices()[0].platform, "cpu")
        self.assertEqual(int(jax.jit(lambda x: x + 1)(1)), 2)

    def test_sentencepiece_is_the_last_with_classic_arithmetic(self):
        self.assertEqual(importlib.metadata.version("sentencepiece"), "0.2.1")

    def test_one_tensorflow_only(self):
        with self.assertRaises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version("tensorflow")
        self.assertTrue(importlib.metadata.version("tensorflow-cpu"))


if __name__ == "__main__":
    absltest.main()
