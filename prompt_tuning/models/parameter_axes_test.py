# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from absl.testing import absltest
from flax import traverse_util

from prompt_tuning.models import layer_stack, network, parameter_axes


class LogicalAxesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        config = network.T5Config(
            vocab_size=11,
            emb_dim=7,
            num_heads=2,
            head_dim=3,
            mlp_dim=13,
            num_encoder_layers=1,
            num_decoder_layers=2,
        )
        tokens = jnp.zeros((1, 2), jnp.int32)
        variables = jax.eval_shape(
            network.Transformer(config).init, jax.random.PRNGKey(0), tokens, tokens, tokens
        )
        self.shapes = {
            name: leaf
            for name, leaf in traverse_util.flatten_dict(variables["params"], sep="/").items()
        }

    def test_every_parameter_has_axes_of_its_sizes(self):
        sizes = {"vocab": 11, "embed": 7, "heads": 2, "joined_kv": 6, "mlp": 13}
        sizes["relpos_buckets"] = 32
        axes = parameter_axes.logical_axes(self.shapes)
        self.assertEqual(set(axes), set(self.shapes))
        for name, leaf in self.shapes.items():
            self.assertEqual(tuple(sizes[axis] for axis in axes[name]), leaf.shape, name)

    def test_stacked_layers_have_one_axis_more(self):
        axes = parameter_axes.logical_axes(layer_stack.stack(self.shapes))
        self.assertEqual(axes["decoder/layers/mlp/wo/kernel"], ("layers", "mlp", "embed"))
        self.assertEqual(axes["encoder/layers/pre_mlp_layer_norm/scale"], ("layers", "embed"))
        self.assertEqual(axes["decoder/logits_dense/kernel"], ("embed", "vocab"))

    def test_what_the_network_does_not_own_is_left_out(self):
        self.assertEqual(parameter_axes.logical_axes(["encoder/prompt/prompt/prompt"]), {})


if __name__ == "__main__":
    absltest.main()
