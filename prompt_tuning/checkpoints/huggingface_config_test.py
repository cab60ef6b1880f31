# SPDX-License-Identifier: Apache-2.0
"""Tests of config.json of the T5s there are."""

import dataclasses
import json
import os

from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import huggingface_config, toy_t5
from prompt_tuning.checkpoints.huggingface_config import HuggingFaceConfig

_SIZES = {
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 1024,
    "num_layers": 8,
    "num_heads": 6,
}
# What the releases' files say, written by releases of transformers from 2 to 4 and by 5.
_OLD_T5 = _SIZES | {"model_type": "t5", "eos_token_id": 1, "pad_token_id": 0}
_T5_1_1 = _SIZES | {
    "model_type": "t5",
    "num_decoder_layers": 7,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "dropout_rate": 0.1,
    "layer_norm_epsilon": 1e-06,
    "decoder_start_token_id": 0,
}
_T5_1_1_OF_5 = _T5_1_1 | {
    "tie_word_embeddings": True,
    "scale_decoder_outputs": False,
    "dense_act_fn": "gelu_new",
    "relative_attention_max_distance": 64,
    "relative_attention_num_buckets": 16,
}
_UL2 = _T5_1_1 | {"feed_forward_proj": "gated-silu", "dense_act_fn": "silu"}
_MT5 = _T5_1_1 | {"model_type": "mt5", "vocab_size": 250112}


class ReadConfigTest(parameterized.TestCase):
    def read(self, entries) -> HuggingFaceConfig:
        folder = self.create_tempdir().full_path
        with open(os.path.join(folder, "config.json"), "w") as file:
            file.write(entries if isinstance(entries, str) else json.dumps(entries))
        return huggingface_config.read_config(folder)

    @parameterized.named_parameters(
        ("original", _OLD_T5, ("relu",), True, True),
        ("t5_1_1", _T5_1_1, ("gelu", "linear"), False, False),
        ("t5_1_1_of_transformers_5", _T5_1_1_OF_5, ("gelu", "linear"), True, False),
        ("ul2", _UL2, ("silu", "linear"), False, False),
        ("mt5", _MT5, ("gelu", "linear"), False, False),
        ("tied_mt5", _MT5 | {"tie_word_embeddings": True}, ("gelu", "linear"), True, False),
    )
    def test_the_releases(self, entries, activations, tied, scaled):
        config = self.read(entries)
        self.assertEqual(config.sizes.own_head, not tied)
        self.assertEqual(config.scale_logits, scaled)
        fields = config.t5_config_fields()
        self.assertEqual(fields["mlp_activations"], activations)
        self.assertEqual(fields["logits_via_embedding"], tied)

    def test_fields_of_the_network(self):
        self.assertEqual(
            self.read(_T5_1_1_OF_5).with_own_head(True).t5_config_fields(),
            {
                "vocab_size": 32128,
                "emb_dim": 512,
                "num_heads": 6,
                "head_dim": 64,
                "mlp_dim": 1024,
                "num_encoder_layers": 8,
                "num_decoder_layers": 7,
                "mlp_activations": ("gelu", "linear"),
                "relative_attention_num_buckets": 16,
                "relative_attention_max_distance": 64,
                "logits_via_embedding": False,
            },
        )

    def test_the_oldest_files_leave_out_what_was_not_variable(self):
        config = self.read(_OLD_T5)
        self.assertEqual(config.sizes.num_decoder_layers, 8)
        self.assertEqual(config.sizes.relative_attention_num_buckets, 32)
        self.assertEqual(config.relative_attention_max_distance, 128)
        self.assertFalse(config.sizes.gated)
        self.assertEqual(self.read(_OLD_T5 | {"num_decoder_layers": None}), config)

    @parameterized.product(projection=tuple(huggingface_config.ACTIVATIONS), own_head=(True, False))
    def test_what_is_written_is_read(self, projection, own_head):
        sizes = dataclasses.replace(
            toy_t5.SIZES, gated=projection.startswith("gated-"), own_head=own_head
        )
        config = HuggingFaceConfig(sizes, projection, scale_logits=not own_head)
        self.assertEqual(self.read(config.to_json()), config)

    @parameterized.named_parameters(
        ("umt5", {"model_type": "umt5"}, "model_type 'umt5'.*relative positions in every layer"),
        ("another_model", {"model_type": "bart"}, "'bart'; accepted are t5, mt5"),
        ("no_model_type", {"model_type": None}, "model_type None"),
        ("activation", {"feed_forward_proj": "gated-gelo"}, "the nearest is gated-gelu"),
        ("exact_gelu", {"feed_forward_proj": "gelu"}, "feed_forward_proj 'gelu'; accepted"),
        ("two_activations", {"dense_act_fn": "relu"}, "dense_act_fn 'relu'; make the two agree"),
        ("epsilon", {"layer_norm_epsilon": 1e-5}, "layer_norm_epsilon 1e-05; only 1e-06"),
        ("start", {"decoder_start_token_id": 2}, "decoder_start_token_id 2; only 0"),
        ("decoder_only", {"is_encoder_decoder": False}, "is_encoder_decoder False"),
        ("quantized", {"quantization_config": {"bits": 8}}, "before quantization"),
        ("text_for_a_number", {"d_ff": "1024"}, "d_ff '1024'; it must be an integer above 0"),
        ("zero", {"num_layers": 0}, "num_layers 0; it must be"),
        ("missing", {"d_model": None}, "d_model None; it must be"),
        ("text_for_a_share", {"dropout_rate": "0.1"}, "dropout_rate '0.1'; it must be a number"),
        ("a_list_for_a_share", {"dropout_rate": [0.1]}, "config.json has dropout_rate .0.1.; it"),
        ("too_much", {"dropout_rate": 1}, "dropout_rate 1; it must be a number"),
        ("text_for_a_flag", {"tie_word_embeddings": "no"}, "tie_word_embeddings 'no'"),
    )
    def test_what_has_no_counterpart(self, changes, message):
        with self.assertRaisesRegex(ValueError, message):
            self.read(_T5_1_1 | changes)

    @parameterized.parameters("{", "[1]", "[" * 100_000)
    def test_no_json_object(self, text):
        with self.assertRaisesRegex(ValueError, "config.json (is no JSON|holds no JSON object)"):
            self.read(text)

    def test_no_file(self):
        with self.assertRaisesRegex(FileNotFoundError, "config.json does not exist"):
            huggingface_config.read_config(self.create_tempdir().full_path)


if __name__ == "__main__":
    absltest.main()
