# SPDX-License-Identifier: Apache-2.0
"""Tests of opening HuggingFace folders, made here with the safetensors library."""

import dataclasses
import json
import os

import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import fingerprint, huggingface_format, t5x_format, toy_t5

_WEIGHTS = "model.safetensors"


class OpenCheckpointTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.create_tempdir().full_path, "t5")
        self.arrays = toy_t5.parameters()
        self.tensors = toy_t5.tensors(self.arrays)

    def write(self, tensors=None, **changes) -> str:
        toy_t5.write_folder(self.folder, {_WEIGHTS: tensors or self.tensors}, **changes)
        return self.folder

    def write_shards(self, weight_map_changes=None) -> str:
        names = sorted(self.tensors)
        files = {
            "model-00001-of-00002.safetensors": {k: self.tensors[k] for k in names[::2]},
            "model-00002-of-00002.safetensors": {k: self.tensors[k] for k in names[1::2]},
        }
        toy_t5.write_folder(self.folder, files)
        weight_map = {name: file for file, content in files.items() for name in content}
        weight_map |= weight_map_changes or {}
        with open(os.path.join(self.folder, _WEIGHTS + ".index.json"), "w") as file:
            json.dump({"metadata": {}, "weight_map": weight_map}, file)
        return self.folder

    def assert_is_the_model(self, checkpoint, arrays=None):
        arrays = arrays or self.arrays
        found = t5x_format.read_arrays(checkpoint.target())
        self.assertCountEqual(found, arrays)
        for name, value in arrays.items():
            self.assertEqual(found[name].dtype, value.dtype)
            np.testing.assert_array_equal(found[name], value, name)

    @parameterized.parameters("float32", "bfloat16", "float16")
    def test_one_file(self, dtype):
        arrays = {k: v.astype(np.dtype(dtype)) for k, v in self.arrays.items()}
        checkpoint = huggingface_format.open_checkpoint(self.write(toy_t5.tensors(arrays)))
        self.assert_is_the_model(checkpoint, arrays)
        self.assertEqual(checkpoint.config.sizes, toy_t5.SIZES)
        self.assertEqual((checkpoint.step, checkpoint.directory), (0, self.folder))
        self.assertIsNone(checkpoint.vocabulary_file)

    def test_several_files(self):
        self.assert_is_the_model(huggingface_format.open_checkpoint(self.write_shards()))

    def test_the_vocabulary_is_found(self):
        path = os.path.join(self.write(), "spiece.model")
        with open(path, "wb") as file:
            file.write(b"model")
        checkpoint = huggingface_format.open_checkpoint(self.folder)
        self.assertEqual(checkpoint.vocabulary_file, path)

    def test_a_fingerprint_is_that_of_the_same_weights_elsewhere(self):
        target = huggingface_format.open_checkpoint(self.write()).target()
        self.assertEqual(fingerprint.fingerprint(target), fingerprint.fingerprint(self.arrays))

    def test_is_huggingface(self):
        self.assertFalse(huggingface_format.is_huggingface(self.folder))
        self.assertTrue(huggingface_format.is_huggingface(self.write()))

    def test_the_original_shares_one_table(self):
        sizes = dataclasses.replace(toy_t5.SIZES, own_head=False, gated=False)
        arrays = toy_t5.parameters(sizes)
        tensors = toy_t5.tensors(arrays, sizes)
        changes = {"feed_forward_proj": "relu", "dense_act_fn": "relu"}
        changes |= {"tie_word_embeddings": None, "scale_decoder_outputs": None}
        checkpoint = huggingface_format.open_checkpoint(self.write(tensors, **changes))
        self.assertTrue(checkpoint.config.t5_config_fields()["logits_via_embedding"])
        self.assert_is_the_model(checkpoint, arrays)
        # Some files hold the table once more for each of its uses, and a table that nothing reads.
        copies = ("lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
        tensors |= {name: tensors["shared.weight"] for name in copies}
        bias = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
        tensors[bias] = np.zeros((8, 2), np.float32)
        checkpoint = huggingface_format.open_checkpoint(self.write(tensors, **changes))
        self.assert_is_the_model(checkpoint, arrays)

    def test_a_table_of_its_own_counts_whatever_the_config_says(self):
        # transformers 5 writes tie_word_embeddings true for every T5.
        checkpoint = huggingface_format.open_checkpoint(self.write(tie_word_embeddings=True))
        self.assertTrue(checkpoint.config.sizes.own_head)
        self.assert_is_the_model(checkpoint)

    def test_a_shared_table_without_scaling_becomes_two_equal_ones(self):
        tensors = {k: v for k, v in self.tensors.items() if k != "lm_head.weight"}
        self.write(tensors, tie_word_embeddings=True, scale_decoder_outputs=False)
        checkpoint = huggingface_format.open_checkpoint(self.folder)
        self.assertFalse(checkpoint.config.t5_config_fields()["logits_via_embedding"])
        head = self.arrays["token_embedder/embedding"].T
        self.assert_is_the_model(checkpoint, self.arrays | {"decoder/logits_dense/kernel": head})

    def test_a_scaled_head_of_its_own(self):
        self.write(tie_word_embeddings=True, scale_decoder_outputs=True)
        with self.assertRaisesRegex(ValueError, "lm_head.weight .* scales the logits, which no T5"):
            huggingface_format.open_checkpoint(self.folder)

    @parameterized.named_parameters(
        (
            "missing",
            {"encoder.final_layer_norm.weight": None},
            {},
            "lacks encoder.final_layer_norm",
        ),
        ("no_head", {"lm_head.weight": None}, {}, "lacks lm_head.weight"),
        ("unknown", {"x": np.ones(2, np.float32)}, {}, "has the unknown x"),
        (
            "shape",
            {"lm_head.weight": np.ones((4, 12), np.float32)},
            {},
            r"lm_head.weight has shape \[4, 12\]; .* needs \[12, 4\]",
        ),
        ("config", {}, {"d_ff": 11}, r"wi_0.weight has shape \[10, 4\]; .*config.json\) needs"),
        (
            "dtype",
            {"encoder.final_layer_norm.weight": np.ones(4, np.int8)},
            {},
            "encoder.final_layer_norm.weight in .* is int8; accepted are float32",
        ),
        (
            "two_token_tables",
            {"encoder.embed_tokens.weight": np.ones((12, 4), np.float32)},
            {},
            "encoder.embed_tokens.weight .* differs from shared.weight",
        ),
    )
    def test_a_tensor_that_does_not_belong(self, changes, entries, message):
        tensors = {k: v for k, v in (self.tensors | changes).items() if v is not None}
        with self.assertRaisesRegex(ValueError, message):
            huggingface_format.open_checkpoint(self.write(tensors, **entries))

    def test_a_file_cut_off(self):
        path = os.path.join(self.write(), _WEIGHTS)
        os.truncate(path, os.path.getsize(path) - 1)
        with self.assertRaisesRegex(ValueError, r"\.weight in .* is incomplete"):
            huggingface_format.open_checkpoint(self.folder)

    def test_no_weights(self):
        os.remove(os.path.join(self.write(), _WEIGHTS))
        with self.assertRaisesRegex(FileNotFoundError, "neither model.safetensors nor"):
            huggingface_format.open_checkpoint(self.folder)
        with open(os.path.join(self.folder, "flax_model.msgpack"), "wb"):
            pass
        with self.assertRaisesRegex(FileNotFoundError, "flax_model.msgpack is not read: load it"):
            huggingface_format.open_checkpoint(self.folder)

    @parameterized.parameters(
        ("../model.safetensors", ValueError, "which is no file of the folder"),
        (7, ValueError, "which is no file of the folder"),
        ("other.safetensors", FileNotFoundError, "other.safetensors, which should hold lm_head"),
        ("model-00001-of-00002.safetensors", ValueError, "does not hold lm_head.weight, which"),
    )
    def test_an_index_that_does_not_fit(self, file, error, message):
        self.write_shards({"lm_head.weight": file})  # It lies in the second file.
        with self.assertRaisesRegex(error, message):
            huggingface_format.open_checkpoint(self.folder)

    @parameterized.parameters("{", "{}", "[]", '{"weight_map": 3}')
    def test_no_index(self, text):
        self.write_shards()
        with open(os.path.join(self.folder, _WEIGHTS + ".index.json"), "w") as file:
            file.write(text)
        with self.assertRaisesRegex(ValueError, "is no index of weights"):
            huggingface_format.open_checkpoint(self.folder)

    def test_bfloat16_values_reach_a_run_exactly(self):
        arrays = {k: v.astype(ml_dtypes.bfloat16) for k, v in self.arrays.items()}
        target = huggingface_format.open_checkpoint(self.write(toy_t5.tensors(arrays))).target()
        found = t5x_format.read_arrays(target, "float32")
        for name, value in arrays.items():
            self.assertEqual(found[name].dtype, np.float32)
            np.testing.assert_array_equal(found[name], value.astype(np.float32))


if __name__ == "__main__":
    absltest.main()
