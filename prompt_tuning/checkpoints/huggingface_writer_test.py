# SPDX-License-Identifier: Apache-2.0
"""Tests of writing HuggingFace folders; PyTorch reads them in tests/compatibility."""

import dataclasses
import json
import os
import re
from unittest import mock

import ml_dtypes
import numpy as np
import safetensors.numpy
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import huggingface_format, lazy_array, t5x_format, toy_t5


class WriteCheckpointTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.folder = os.path.join(self.root, "t5")
        self.arrays = toy_t5.parameters()

    def write(self, arrays=None, **settings):
        return huggingface_format.write_checkpoint(
            self.folder, toy_t5.lazy(arrays or self.arrays), **settings
        )

    def json(self, file):
        with open(os.path.join(self.folder, file)) as stream:
            return json.load(stream)

    def test_the_library_reads_it(self):
        config = self.write()
        self.assertEqual(config.sizes, toy_t5.SIZES)
        self.assertCountEqual(
            os.listdir(self.folder), ["model.safetensors", "config.json", "generation_config.json"]
        )
        found = safetensors.numpy.load_file(os.path.join(self.folder, "model.safetensors"))
        expected = toy_t5.tensors(self.arrays)
        self.assertCountEqual(found, expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)
        self.assertEqual(os.listdir(self.root), ["t5"])

    def test_what_the_other_files_say(self):
        self.write()
        config = self.json("config.json")
        expected = {"architectures": ["T5ForConditionalGeneration"], "d_kv": 3, "d_ff": 10}
        expected |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
        expected |= {"scale_decoder_outputs": False, "num_decoder_layers": 2, "vocab_size": 12}
        self.assertEqual(config, config | expected)
        generation = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
        self.assertEqual(self.json("generation_config.json"), generation)

    @parameterized.product(gated=(True, False), own_head=(True, False))
    def test_what_is_written_is_read(self, gated, own_head):
        sizes = dataclasses.replace(toy_t5.SIZES, gated=gated, own_head=own_head)
        arrays = toy_t5.parameters(sizes)
        config = self.write(arrays)
        checkpoint = huggingface_format.open_checkpoint(self.folder)
        self.assertEqual(checkpoint.config, config)
        found = t5x_format.read_arrays(checkpoint.target())
        self.assertCountEqual(found, arrays)
        for name, value in arrays.items():
            np.testing.assert_array_equal(found[name], value)

    @parameterized.parameters("float32", "bfloat16", "float16", None)
    def test_dtypes(self, dtype):
        arrays = {k: v.astype(ml_dtypes.bfloat16) for k, v in self.arrays.items()}
        self.write(arrays, save_dtype=dtype)
        target = huggingface_format.open_checkpoint(self.folder).target()
        for name, value in arrays.items():
            self.assertEqual(target[name].dtype, np.dtype(dtype or ml_dtypes.bfloat16))
            np.testing.assert_array_equal(target[name].get(), value.astype(target[name].dtype))

    def test_shards(self):
        self.write(shard_bytes=500)
        index = self.json("model.safetensors.index.json")
        total = sum(value.nbytes for value in self.arrays.values())
        self.assertEqual(index["metadata"], {"total_size": total})
        self.assertCountEqual(index["weight_map"], toy_t5.tensors(self.arrays))
        files = sorted(set(index["weight_map"].values()))
        self.assertGreater(len(files), 3)
        for file in files:
            self.assertRegex(file, rf"model-\d{{5}}-of-{len(files):05d}\.safetensors")
            content = safetensors.numpy.load_file(os.path.join(self.folder, file))
            self.assertLessEqual(sum(value.nbytes for value in content.values()), 500)
        found = t5x_format.read_arrays(huggingface_format.open_checkpoint(self.folder).target())
        for name, value in self.arrays.items():
            np.testing.assert_array_equal(found[name], value)

    def test_an_array_larger_than_a_shard_has_its_own(self):
        self.write(shard_bytes=1)
        self.assertLen(os.listdir(self.folder), len(self.arrays) + 3)

    def test_the_vocabulary_is_copied(self):
        source = os.path.join(self.root, "x.model")
        with open(source, "wb") as file:
            file.write(b"pieces")
        self.write(vocabulary_file=source)
        with open(os.path.join(self.folder, "spiece.model"), "rb") as file:
            self.assertEqual(file.read(), b"pieces")

    def test_what_the_arrays_do_not_tell(self):
        self.write(
            feed_forward_proj="gated-silu", model_type="mt5", relative_attention_max_distance=64
        )
        config = huggingface_format.open_checkpoint(self.folder).config
        self.assertEqual(config.t5_config_fields()["mlp_activations"], ("silu", "linear"))
        self.assertEqual(config.model_type, "mt5")
        self.assertEqual(config.relative_attention_max_distance, 64)
        self.assertEqual(self.json("config.json")["architectures"], ["MT5ForConditionalGeneration"])

    @parameterized.named_parameters(
        ("activation", {"feed_forward_proj": "relu"}, "'relu', but the model's MLP is gated;"),
        ("model_type", {"model_type": "umt5"}, "model_type is 'umt5'"),
    )
    def test_settings_that_do_not_fit(self, settings, message):
        with self.assertRaisesRegex(ValueError, message):
            self.write(**settings)
        self.assertEqual(os.listdir(self.root), [])

    def test_mt5_has_a_head_of_its_own(self):
        sizes = dataclasses.replace(toy_t5.SIZES, own_head=False)
        with self.assertRaisesRegex(ValueError, "model_type is 'mt5'"):
            self.write(toy_t5.parameters(sizes), model_type="mt5")

    @parameterized.named_parameters(
        ("missing", {"encoder/encoder_norm/scale": None}, "lacks encoder/encoder_norm/scale"),
        (
            "unknown",
            {"encoder/prompt/prompt/prompt": np.ones((2, 4))},
            "the unknown encoder/prompt",
        ),
        ("shape", {"encoder/encoder_norm/scale": np.ones(5)}, r"scale has shape \[5\]; .* \[4\]"),
        ("layer", {"decoder/layers_4/mlp/wo/kernel": np.ones((10, 4))}, "lacks decoder/layers_2"),
    )
    def test_no_whole_t5(self, changes, message):
        arrays = {k: v for k, v in (self.arrays | changes).items() if v is not None}
        with self.assertRaisesRegex(ValueError, message):
            self.write(arrays)
        self.assertEqual(os.listdir(self.root), [])

    def test_an_existing_folder_is_left_alone(self):
        os.mkdir(self.folder)
        with self.assertRaisesRegex(FileExistsError, re.escape(f"{self.folder} exists")):
            self.write()
        self.assertEqual(os.listdir(self.folder), [])

    def test_nothing_remains_of_a_failed_write(self):
        target = toy_t5.lazy(self.arrays)
        last = target["decoder/logits_dense/kernel"]
        with mock.patch.object(last, "_read", side_effect=ValueError("damaged")):
            with self.assertRaisesRegex(ValueError, "damaged"):
                huggingface_format.write_checkpoint(self.folder, target)
        self.assertEqual(os.listdir(self.root), [])

    def test_one_array_is_read_at_a_time_and_in_the_order_given(self):
        order = []

        class Watched(lazy_array.InlineArray):
            def _read(self):
                order.append(self.name)
                return super()._read()

        names = sorted(self.arrays, reverse=True)
        target = {name: Watched(name, self.arrays[name]) for name in names}
        huggingface_format.write_checkpoint(self.folder, target, shard_bytes=1000)
        self.assertEqual(order, names)


if __name__ == "__main__":
    absltest.main()
