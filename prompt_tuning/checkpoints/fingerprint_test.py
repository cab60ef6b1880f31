# SPDX-License-Identifier: Apache-2.0
"""Tests of what a fingerprint sees and what it does not."""

import hashlib

import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.checkpoints.fingerprint import fingerprint
from prompt_tuning.checkpoints.lazy_array import InlineArray


class FingerprintTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(0)
        self.weights = {
            "a/kernel": random.normal(size=(40, 30)).astype(np.float32),
            "b/scale": random.normal(size=5).astype(np.float32),
            "c": np.asarray(2.5, np.float32),
            "empty": np.zeros((0, 3), np.float32),
        }
        self.text = fingerprint(self.weights)

    def test_is_the_hash_that_the_recipe_gives(self):
        """Stored fingerprints must stay valid: another recipe needs another version."""
        values = np.arange(64, dtype="<f4")  # 64 elements: all of them are samples
        digest = hashlib.sha256(b'["w", [8, 8]]' + values.tobytes()).hexdigest()
        self.assertEqual(fingerprint({"w": values.reshape(8, 8)}), f"1-{digest[:32]}")

    def test_samples_of_a_large_array_are_evenly_spaced(self):
        values = np.arange(127, dtype=np.float32)
        digest = hashlib.sha256(b'["w", [127]]' + values[::2].tobytes()).hexdigest()
        self.assertEqual(fingerprint({"w": values}), f"1-{digest[:32]}")

    def test_order_and_container_do_not_matter(self):
        reversed_order = dict(reversed(self.weights.items()))
        self.assertEqual(fingerprint(reversed_order), self.text)
        lazy = {name: InlineArray(name, value) for name, value in self.weights.items()}
        self.assertEqual(fingerprint(lazy), self.text)

    def test_a_checkpoint_has_the_fingerprint_of_its_arrays(self):
        directory = self.create_tempdir().full_path
        t5x_format.write_checkpoint(directory, 1, self.weights)
        target = t5x_format.open_checkpoint(directory).target()
        self.assertEqual(fingerprint(target), fingerprint(t5x_format.read_arrays(target)))

    @parameterized.parameters(ml_dtypes.bfloat16, np.float16, np.float64)
    def test_a_dtype_that_holds_the_values_does_not_matter(self, dtype):
        exact = {"w": np.arange(-100, 100, dtype=np.float32).reshape(10, 20)}
        self.assertEqual(fingerprint({"w": exact["w"].astype(dtype)}), fingerprint(exact))

    def test_rounded_weights_are_other_weights(self):
        rounded = self.weights | {"a/kernel": self.weights["a/kernel"].astype(ml_dtypes.bfloat16)}
        self.assertNotEqual(fingerprint(rounded), self.text)

    @parameterized.parameters(
        ("b/scale", 0), ("b/scale", 4), ("c", 0), ("a/kernel", 0), ("a/kernel", 1199)
    )
    def test_a_changed_value_is_seen(self, name, position):
        changed = self.weights[name].copy()
        changed.reshape(-1)[position] += 1
        self.assertNotEqual(fingerprint(self.weights | {name: changed}), self.text)

    def test_names_shapes_and_missing_arrays_are_seen(self):
        others = [
            {("z" if name == "c" else name): value for name, value in self.weights.items()},
            self.weights | {"a/kernel": self.weights["a/kernel"].reshape(30, 40)},
            self.weights | {"empty": np.zeros((3, 0), np.float32)},
            {name: value for name, value in self.weights.items() if name != "empty"},
        ]
        texts = {fingerprint(other) for other in others} | {self.text}
        self.assertLen(texts, 5)

    def test_the_sign_of_zero_is_not_seen(self):
        self.assertEqual(fingerprint({"w": np.zeros(3)}), fingerprint({"w": -np.zeros(3)}))

    def test_only_samples_are_asked_of_a_lazy_array(self):
        class Counting(InlineArray):
            asked = 0

            def take(self, indices):
                Counting.asked += len(indices)
                return super().take(indices)

        fingerprint({"w": Counting("w", np.zeros((1000, 10)))})
        self.assertEqual(Counting.asked, 64)


if __name__ == "__main__":
    absltest.main()
