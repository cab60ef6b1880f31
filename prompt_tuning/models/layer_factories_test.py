# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
from absl.testing import absltest, parameterized

from prompt_tuning.models import layer_factories, layers, t5_config

CONFIG = t5_config.T5Config(
    vocab_size=16,
    emb_dim=8,
    num_heads=2,
    head_dim=4,
    mlp_dim=12,
    num_encoder_layers=3,
    num_decoder_layers=2,
    dtype="float32",
)


class SizesTest(parameterized.TestCase):
    def test_of_attention(self):
        module = layer_factories.make_attention(CONFIG)
        self.assertEqual((module.num_heads, module.head_dim, module.features), (2, 4, 8))

    def test_of_mlp(self):
        x = jnp.ones((1, 3, 8))
        params = layer_factories.make_mlp(CONFIG).init(jax.random.key(0), x, True)["params"]
        shapes = {name: params[name]["kernel"].shape for name in params}
        self.assertEqual(shapes, {"wi_0": (8, 12), "wi_1": (8, 12), "wo": (12, 8)})

    @parameterized.parameters(True, False)
    def test_of_the_position_biases(self, bidirectional):
        module = layer_factories.make_relpos_bias(CONFIG, bidirectional)
        self.assertEqual(module.bidirectional, bidirectional)
        self.assertEqual((module.num_heads, module.num_buckets), (2, 32))

    def test_dtype_of_a_bfloat16_stack(self):
        config = CONFIG.replace(dtype="bfloat16")
        self.assertEqual(layer_factories.make_norm(config).dtype, jnp.bfloat16)
        self.assertEqual(layer_factories.make_mlp(config).dtype, jnp.bfloat16)


class HeadTest(absltest.TestCase):
    def test_of_its_own_gives_float32_logits_of_every_token(self):
        config = CONFIG.replace(dtype="bfloat16")
        head = layer_factories.make_head(config, None)
        logits, _ = head.init_with_output(jax.random.key(0), jnp.ones((1, 2, 8), jnp.bfloat16))
        self.assertEqual(logits.shape, (1, 2, 16))
        self.assertEqual(logits.dtype, jnp.float32)

    def test_tied_to_the_tokens(self):
        table = layers.Embed(16, 8, jnp.float32)
        head = layer_factories.make_head(CONFIG.replace(logits_via_embedding=True), table)
        self.assertIsInstance(head, layers.TiedHead)


class StackTest(absltest.TestCase):
    def test_unrolled_has_a_module_for_each_layer(self):
        made = iter(range(10))
        self.assertEqual(layer_factories.make_stack(CONFIG, lambda: next(made), 3), [0, 1, 2])

    def test_scanned_has_one_module(self):
        config = CONFIG.replace(scan_layers=True)
        made = iter(range(10))
        self.assertEqual(layer_factories.make_stack(config, lambda: next(made), 3), 0)


if __name__ == "__main__":
    absltest.main()
