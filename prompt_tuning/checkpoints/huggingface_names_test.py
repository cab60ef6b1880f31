# SPDX-License-Identifier: Apache-2.0
"""Tests of the two names of each parameter."""

import dataclasses

from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import huggingface_names, toy_t5

# As the releases have them: T5 1.1 small and XL, and the original small.
_T5_1_1_SMALL = huggingface_names.Sizes(32128, 512, 6, 64, 1024, 8, 8, 32, True, True)
_T5_1_1_XL = huggingface_names.Sizes(32128, 2048, 32, 64, 5120, 24, 24, 32, True, True)
_T5_SMALL = huggingface_names.Sizes(32128, 512, 8, 64, 2048, 6, 6, 32, False, False)


def _count(sizes):
    counts = [1]
    for parameter in huggingface_names.parameters(sizes):
        size = 1
        for length in parameter.shape:
            size *= length
        counts.append(size)
    return sum(counts) - 1


class ParametersTest(parameterized.TestCase):
    @parameterized.parameters(
        ("token_embedder/embedding", "shared.weight", (12, 4), (12, 4)),
        (
            "encoder/relpos_bias/rel_embedding",
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            (2, 8),
            (8, 2),
        ),
        (
            "decoder/relpos_bias/rel_embedding",
            "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            (2, 8),
            (8, 2),
        ),
        (
            "encoder/layers_0/pre_attention_layer_norm/scale",
            "encoder.block.0.layer.0.layer_norm.weight",
            (4,),
            (4,),
        ),
        (
            "encoder/layers_0/attention/query/kernel",
            "encoder.block.0.layer.0.SelfAttention.q.weight",
            (4, 6),
            (6, 4),
        ),
        (
            "encoder/layers_0/mlp/wi_1/kernel",
            "encoder.block.0.layer.1.DenseReluDense.wi_1.weight",
            (4, 10),
            (10, 4),
        ),
        (
            "decoder/layers_1/pre_self_attention_layer_norm/scale",
            "decoder.block.1.layer.0.layer_norm.weight",
            (4,),
            (4,),
        ),
        (
            "decoder/layers_1/pre_cross_attention_layer_norm/scale",
            "decoder.block.1.layer.1.layer_norm.weight",
            (4,),
            (4,),
        ),
        (
            "decoder/layers_1/encoder_decoder_attention/out/kernel",
            "decoder.block.1.layer.1.EncDecAttention.o.weight",
            (6, 4),
            (4, 6),
        ),
        (
            "decoder/layers_1/pre_mlp_layer_norm/scale",
            "decoder.block.1.layer.2.layer_norm.weight",
            (4,),
            (4,),
        ),
        (
            "decoder/layers_1/mlp/wo/kernel",
            "decoder.block.1.layer.2.DenseReluDense.wo.weight",
            (10, 4),
            (4, 10),
        ),
        ("decoder/decoder_norm/scale", "decoder.final_layer_norm.weight", (4,), (4,)),
        ("decoder/logits_dense/kernel", "lm_head.weight", (4, 12), (12, 4)),
    )
    def test_names_and_shapes(self, name, huggingface, shape, huggingface_shape):
        found = {p.name: p for p in huggingface_names.parameters(toy_t5.SIZES)}[name]
        self.assertEqual(found.huggingface, huggingface)
        self.assertEqual(found.shape, shape)
        self.assertEqual(found.huggingface_shape, huggingface_shape)

    def test_both_names_are_unique(self):
        found = list(huggingface_names.parameters(toy_t5.SIZES))
        self.assertLen({p.name for p in found}, len(found))
        self.assertLen({p.huggingface for p in found}, len(found))
        # Token table, two bias tables, two last norms, head; 9 of a layer there, 14 here.
        self.assertLen(found, 6 + 9 + 2 * 14)

    def test_without_gate_and_head(self):
        sizes = dataclasses.replace(toy_t5.SIZES, gated=False, own_head=False)
        names = {p.name: p.huggingface for p in huggingface_names.parameters(sizes)}
        self.assertEqual(
            names["encoder/layers_0/mlp/wi/kernel"],
            "encoder.block.0.layer.1.DenseReluDense.wi.weight",
        )
        self.assertNotIn("encoder/layers_0/mlp/wi_0/kernel", names)
        self.assertNotIn("decoder/logits_dense/kernel", names)

    # The releases' published numbers of parameters.
    @parameterized.parameters(
        (_T5_1_1_SMALL, 76_961_152), (_T5_1_1_XL, 2_849_757_184), (_T5_SMALL, 60_506_624)
    )
    def test_number_of_parameters(self, sizes, expected):
        self.assertEqual(_count(sizes), expected)


class SizesOfTest(parameterized.TestCase):
    @parameterized.parameters(
        {}, {"gated": False}, {"own_head": False}, {"num_encoder_layers": 12, "head_dim": 7}
    )
    def test_sizes_are_seen_from_the_shapes(self, **changes):
        sizes = dataclasses.replace(toy_t5.SIZES, **changes)
        shapes = {p.name: p.shape for p in huggingface_names.parameters(sizes)}
        self.assertEqual(huggingface_names.sizes_of(shapes), sizes)

    @parameterized.parameters(
        ("token_embedder/embedding", None, "token_embedder/embedding is missing"),
        ("encoder/layers_0/mlp/wo/kernel", (4,), r"wo/kernel has shape \[4\]; .* two dimensions"),
        ("encoder/layers_0/attention/query/kernel", (4, 7), "which 2 heads .* do not divide"),
    )
    def test_what_tells_no_size(self, name, shape, message):
        shapes = {p.name: p.shape for p in huggingface_names.parameters(toy_t5.SIZES)}
        if shape is None:
            del shapes[name]
        else:
            shapes[name] = shape
        with self.assertRaisesRegex(ValueError, message):
            huggingface_names.sizes_of(shapes)


class CheckTest(absltest.TestCase):
    def test_names(self):
        huggingface_names.check_names({"a"}, {"a": 0}, "x")
        with self.assertRaisesRegex(ValueError, "x lacks b, c, d and 1 more and has the unknown a"):
            huggingface_names.check_names(set("bcde"), {"a": 0}, "x")

    def test_shapes(self):
        huggingface_names.check_shape("a", (1, 2), (1, 2), "x")
        with self.assertRaisesRegex(ValueError, r"a has shape \[1, 2\]; x needs \[2, 1\]"):
            huggingface_names.check_shape("a", (1, 2), (2, 1), "x")


if __name__ == "__main__":
    absltest.main()
