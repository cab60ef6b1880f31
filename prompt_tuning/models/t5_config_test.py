# SPDX-License-Identifier: Apache-2.0

import jax.numpy as jnp
from absl.testing import absltest, parameterized

from prompt_tuning.models import t5_config

_SIZES = {
    "vocab_size": 384,
    "emb_dim": 16,
    "num_heads": 4,
    "head_dim": 6,
    "mlp_dim": 40,
    "num_encoder_layers": 2,
    "num_decoder_layers": 3,
}


class T5ConfigTest(parameterized.TestCase):
    def test_defaults_are_t5_1_1(self):
        config = t5_config.T5Config(**_SIZES)
        self.assertEqual(config.dtype, jnp.dtype("bfloat16"))
        self.assertEqual(config.mlp_activations, ("gelu", "linear"))
        self.assertEqual(config.relative_attention_num_buckets, 32)
        self.assertEqual(config.relative_attention_max_distance, 128)

    @parameterized.parameters("float32", jnp.float32, jnp.dtype("float32"))
    def test_dtype_in_any_spelling(self, dtype):
        self.assertEqual(t5_config.T5Config(**_SIZES, dtype=dtype).dtype, jnp.dtype("float32"))

    def test_configs_can_be_compared_and_hashed(self):
        first = t5_config.T5Config(**_SIZES, mlp_activations=["gelu", "linear"])
        second = t5_config.T5Config(**_SIZES, dtype=jnp.bfloat16)
        self.assertEqual(hash(first), hash(second))
        self.assertEqual(first, second)

    @parameterized.parameters(
        ("num_heads", 0, "NUM_HEADS"),
        ("vocab_size", -1, "NUM_EMBEDDINGS"),
        ("emb_dim", 4.0, "EMBED_DIM"),
        ("head_dim", True, "HEAD_DIM"),
        ("mlp_dim", None, "MLP_DIM"),
        ("num_encoder_layers", "2", "NUM_ENCODER_LAYERS"),
        ("num_decoder_layers", 0, "NUM_DECODER_LAYERS"),
        ("dropout_rate", 1.0, "DROPOUT_RATE"),
        ("dropout_rate", -0.1, "DROPOUT_RATE"),
        ("scale", 0.0, "SCALE"),
        ("dtype", "int32", "ACTIVATION_DTYPE"),
        ("remat_policy", "ful", "LAYER_REMAT"),
        ("frozen_dtype", "int4", "FROZEN_WEIGHTS_DTYPE"),
        ("frozen_memory", "disk", "FROZEN_WEIGHTS_MEMORY"),
        ("length_multiple", 0, "T5Config"),
        ("length_multiple", 8.0, "T5Config"),
    )
    def test_an_error_names_the_value_and_the_macro(self, field, value, macro):
        with self.assertRaisesRegex(ValueError, macro) as caught:
            t5_config.T5Config(**{**_SIZES, field: value})
        self.assertIn(repr(value), str(caught.exception))
        self.assertIn(field, str(caught.exception))

    def test_the_nearest_name_is_offered(self):
        with self.assertRaisesRegex(ValueError, "did you mean 'bfloat16'"):
            t5_config.T5Config(**_SIZES, dtype="bfloat")
        with self.assertRaisesRegex(ValueError, "did you mean 'gelu'"):
            t5_config.T5Config(**_SIZES, mlp_activations=("geluu", "linear"))

    def test_activations_must_be_given(self):
        with self.assertRaisesRegex(ValueError, "mlp_activations is empty"):
            t5_config.T5Config(**_SIZES, mlp_activations=())

    @parameterized.parameters((6, 128), (32, 16))
    def test_buckets_that_cannot_be_filled(self, buckets, distance):
        with self.assertRaisesRegex(ValueError, f"num_buckets={buckets}"):
            t5_config.T5Config(
                **_SIZES,
                relative_attention_num_buckets=buckets,
                relative_attention_max_distance=distance,
            )

    def test_the_smallest_tables_in_use_are_accepted(self):
        config = t5_config.T5Config(
            **_SIZES, relative_attention_num_buckets=4, relative_attention_max_distance=8
        )
        self.assertEqual(config.relative_attention_num_buckets, 4)


if __name__ == "__main__":
    absltest.main()
