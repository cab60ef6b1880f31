# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.prompts import initializers

jax.config.update("jax_numpy_rank_promotion", "raise")

V, H = 12, 4
TABLE = np.random.RandomState(0).normal(size=(V, H)).astype(np.float32)
KEY = jax.random.PRNGKey(0)


class Words:
    """A vocabulary where the token of the n-th letter is n and `-` separates tokens."""

    def encode(self, s):
        return [ord(letter) - ord("a") for letter in s.split("-") if letter]


def zeros(rng, shape):
    del rng
    return jnp.zeros(shape)


class UniformTest(absltest.TestCase):
    def test_is_one_sided(self):
        values = initializers.uniform(0.5)(KEY, (1000, 1))
        self.assertGreaterEqual(values.min(), 0)
        self.assertBetween(values.max(), 0.49, 0.5)


class NpLoadTest(parameterized.TestCase):
    def _save(self, array):
        path = os.path.join(self.create_tempdir(), "encoder.prompt.prompt.prompt")
        with open(path, "wb") as stream:
            np.save(stream, array)
        return path

    @parameterized.parameters(
        (None, np.float32), ("float32", np.float32), (jnp.bfloat16, ml_dtypes.bfloat16)
    )
    def test_dtype(self, restore_dtype, expected):
        loaded = initializers.np_load(self._save(TABLE), restore_dtype)
        self.assertEqual(loaded.dtype, expected)
        np.testing.assert_array_equal(loaded, TABLE.astype(expected))

    def test_bfloat16_survives_numpy(self):
        array = TABLE.astype(ml_dtypes.bfloat16)
        np.testing.assert_array_equal(initializers.np_load(self._save(array)), array)

    def test_missing_file(self):
        with self.assertRaisesRegex(FileNotFoundError, "/nowhere/p.npy.*PROMPT_FILE"):
            initializers.np_load("/nowhere/p.npy")


class T5xLoadTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.model_dir = self.create_tempdir().full_path
        target = {"token_embedder/embedding": TABLE, "encoder/encoder_norm/scale": TABLE[0]}
        self.step_dir = str(t5x_format.write_checkpoint(self.model_dir, 7, target, {}))

    @parameterized.parameters(
        "token_embedder/embedding", "/token_embedder/embedding", "target/token_embedder/embedding"
    )
    def test_reads_one_parameter(self, name):
        for path in (self.model_dir, self.step_dir):
            loaded = initializers.t5x_load(path, name)
            np.testing.assert_array_equal(loaded, TABLE)

    def test_casts(self):
        loaded = initializers.t5x_load(self.step_dir, "token_embedder/embedding", "bfloat16")
        self.assertEqual(loaded.dtype, ml_dtypes.bfloat16)

    def test_unknown_parameter_lists_the_nearest(self):
        with self.assertRaisesRegex(KeyError, "token_embeder.*nearest.*token_embedder/embedding"):
            initializers.t5x_load(self.step_dir, "token_embeder/embedding")


class FromArrayTest(parameterized.TestCase):
    @parameterized.parameters(np.float32, ml_dtypes.bfloat16)
    def test_returns_the_array(self, dtype):
        array = TABLE.astype(dtype)
        value = initializers.from_array(array)(KEY, (V, H))
        self.assertEqual(value.dtype, dtype)
        np.testing.assert_array_equal(value, array)

    def test_other_shape(self):
        with self.assertRaisesRegex(ValueError, r"\(12, 4\).*\(5, 4\).*PROMPT_LENGTH"):
            initializers.from_array(TABLE)(KEY, (5, H))


class FromSampleOfEmbeddingsTest(parameterized.TestCase):
    @parameterized.parameters((None, V), (5, 5), (V, V), (V + 8, V))
    def test_rows_are_distinct_and_from_the_population(self, population_size, rows):
        init = initializers.from_sample_of_embeddings(TABLE, population_size)
        values = init(KEY, (5, H))
        chosen = {TABLE[:rows].tolist().index(row) for row in np.asarray(values).tolist()}
        self.assertLen(chosen, 5)

    @parameterized.parameters((None, (6, H), V, False), (3, (6, H), 3, True))
    def test_draw(self, population_size, shape, population, replace):
        init = initializers.from_sample_of_embeddings(TABLE, population_size)
        with mock.patch.object(jax.random, "choice", autospec=True) as choice:
            choice.return_value = np.arange(shape[0]) % 3
            values = init(KEY, shape)
        choice.assert_called_once_with(KEY, population, (shape[0],), replace)
        np.testing.assert_array_equal(values, TABLE[np.arange(shape[0]) % 3])

    def test_same_under_jit(self):
        init = initializers.from_sample_of_embeddings(TABLE, 9)
        compiled = jax.jit(init, static_argnums=1)
        np.testing.assert_array_equal(init(KEY, (4, H)), compiled(KEY, (4, H)))

    def test_too_large_a_population_warns(self):
        with self.assertLogs(level="WARNING") as logs:
            initializers.from_sample_of_embeddings(TABLE, V + 1)
        self.assertIn("13", logs.output[0])

    @parameterized.parameters(0, -3)
    def test_population_must_be_positive(self, population_size):
        with self.assertRaisesRegex(ValueError, f"population_size is {population_size}"):
            initializers.from_sample_of_embeddings(TABLE, population_size)


class FromEmbeddedListTest(absltest.TestCase):
    def test_mean_over_tokens_then_fallback(self):
        init = initializers.from_embedded_list(TABLE, Words(), ["a-b-c", "d"], zeros)
        values = init(KEY, (4, H))
        np.testing.assert_allclose(values[0], TABLE[:3].mean(axis=0), rtol=1e-6)
        np.testing.assert_array_equal(values[1], TABLE[3])
        np.testing.assert_array_equal(values[2:], np.zeros((2, H)))

    def test_default_fallback_is_uniform(self):
        values = initializers.from_embedded_list(TABLE, Words(), ["a"])(KEY, (3, H))
        np.testing.assert_array_equal(values[1:], initializers.uniform()(KEY, (3, H))[1:])

    def test_more_texts_than_positions(self):
        init = initializers.from_embedded_list(TABLE, Words(), ["a", "b", "c"])
        with self.assertLogs(level="WARNING") as logs:
            values = init(KEY, (2, H))
        self.assertIn("['c']", logs.output[0])
        np.testing.assert_array_equal(values, TABLE[:2])

    def test_no_texts(self):
        values = initializers.from_embedded_list(TABLE, Words(), [], zeros)(KEY, (2, H))
        np.testing.assert_array_equal(values, np.zeros((2, H)))

    def test_text_without_tokens(self):
        with self.assertRaisesRegex(ValueError, "no tokens.*CLASS_LABELS"):
            initializers.from_embedded_list(TABLE, Words(), ["a", ""])(KEY, (2, H))


class FromEmbeddedStringTest(absltest.TestCase):
    def test_one_token_for_each_position(self):
        init = initializers.from_embedded_string(TABLE, Words(), "c-a", zeros)
        values = init(KEY, (3, H))
        np.testing.assert_array_equal(values, np.stack([TABLE[2], TABLE[0], np.zeros(H)]))

    def test_longer_text_is_cut(self):
        init = initializers.from_embedded_string(TABLE, Words(), "c-a-b-d")
        with self.assertLogs(level="WARNING") as logs:
            values = init(KEY, (2, H))
        self.assertIn("last 2 tokens", logs.output[0])
        np.testing.assert_array_equal(values, TABLE[[2, 0]])


class WidthTest(parameterized.TestCase):
    @parameterized.parameters(
        (initializers.from_sample_of_embeddings,),
        (initializers.from_embedded_list, None, None),
        (initializers.from_embedded_string, None, None),
    )
    def test_embeddings_of_another_model(self, factory, *args):
        with self.assertRaisesRegex(ValueError, "width 4.*needs 5.*INITIAL_CHECKPOINT_PATH"):
            factory(TABLE, *args)(KEY, (3, H + 1))


if __name__ == "__main__":
    absltest.main()
