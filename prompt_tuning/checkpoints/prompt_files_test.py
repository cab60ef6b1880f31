# SPDX-License-Identifier: Apache-2.0
"""Tests of prompt files: everything a user may point at, and everything that is no prompt."""

import os
from unittest import mock

import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.checkpoints import paths, peft_adapter, prompt_files, t5x_format

_NAME = "encoder/prompt/prompt/prompt"
_PROMPT = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)


class ReadPromptTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path

    def save(self, name: str, array: np.ndarray) -> str:
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:  # numpy adds a suffix to names, not to files
            np.save(file, array)
        return path

    def assert_prompt(self, path, expected=_PROMPT):
        prompt = prompt_files.read_prompt(path)
        self.assertEqual(prompt.dtype, np.float32)
        np.testing.assert_array_equal(prompt, expected)

    @parameterized.parameters(
        ("p.npy", "p.npy"),
        ("p.npy", "p"),
        ("p", "p"),
        ("p", "p.npy"),
        ("checkpoint.npy", "checkpoint"),
    )
    def test_with_and_without_the_suffix(self, file, asked):
        self.save(file, _PROMPT)
        self.assert_prompt(os.path.join(self.root, asked))

    @parameterized.parameters(np.float16, np.float64)
    def test_other_precisions(self, dtype):
        path = self.save("p.npy", _PROMPT.astype(dtype))
        self.assert_prompt(path, _PROMPT.astype(dtype).astype(np.float32))

    def test_bfloat16_bits(self):
        rounded = _PROMPT.astype(ml_dtypes.bfloat16)
        path = self.save("p.npy", rounded)
        self.assertEqual(np.load(path).dtype, np.dtype("V2"))
        self.assert_prompt(path, rounded.astype(np.float32))

    def test_fortran_order(self):
        self.assert_prompt(self.save("p.npy", np.asfortranarray(_PROMPT)))

    @parameterized.parameters(np.nan, np.inf, -np.inf)
    def test_a_number_that_is_not_finite(self, number):
        array = _PROMPT.copy()
        array[1, 2] = number
        with self.assertRaisesRegex(ValueError, "1 numbers of .* NaN or infinite"):
            prompt_files.read_prompt(self.save("nan.npy", array))

    def test_a_prompt_of_length_zero(self):
        self.assert_prompt(self.save("p.npy", _PROMPT[:0]), _PROMPT[:0])

    def test_latest_numpy_prompt_of_a_model_directory(self):
        for step, value in ((9, 1 - _PROMPT), (10, _PROMPT)):
            prompt_files.write_numpy_prompts(self.root, step, {_NAME: value})
        paths.write_bytes(os.path.join(self.root, "numpy_checkpoints/checkpoint_11.tmp-5/x"), b"")
        folder = os.path.join(self.root, "numpy_checkpoints")
        self.assertEqual(prompt_files.numpy_prompt_steps(self.root), [9, 10])
        for path in (self.root, folder, os.path.join(folder, "checkpoint_10")):
            self.assert_prompt(path)
        self.assert_prompt(os.path.join(folder, "checkpoint_9"), 1 - _PROMPT)

    def test_peft_adapter(self):
        folder = os.path.join(self.root, "adapter")
        peft_adapter.write_adapter(folder, _PROMPT, num_layers=2, num_attention_heads=2)
        self.assert_prompt(folder)

    def test_peft_adapter_of_several_tasks(self):
        folder = os.path.join(self.root, "adapter")
        prompts = np.stack([_PROMPT, _PROMPT])
        peft_adapter.write_adapter(folder, prompts, num_layers=2, num_attention_heads=2)
        with self.assertRaisesRegex(ValueError, "prompts of 2 tasks; .*convert_prompt -- --task"):
            prompt_files.read_prompt(folder)

    def test_t5x_checkpoint_with_one_prompt(self):
        target = {_NAME: _PROMPT, "token_embedder/embedding": np.zeros((3, 8))}
        folder = t5x_format.write_checkpoint(self.root, 4, target)
        for path in (self.root, folder, f"{folder}/checkpoint"):
            self.assert_prompt(path)

    def test_numpy_prompts_come_before_t5x_checkpoints(self):
        t5x_format.write_checkpoint(self.root, 4, {_NAME: 1 - _PROMPT})
        prompt_files.write_numpy_prompts(self.root, 4, {_NAME: _PROMPT})
        self.assert_prompt(self.root)

    @parameterized.parameters(
        (("encoder/w",), "holds none"),
        (("a/prompt", "b/prompt"), r"holds 2 \(a/prompt, b/prompt\)"),
    )
    def test_t5x_checkpoint_without_exactly_one_prompt(self, names, message):
        t5x_format.write_checkpoint(self.root, 4, dict.fromkeys(names, _PROMPT))
        with self.assertRaisesRegex(ValueError, message):
            prompt_files.read_prompt(self.root)

    def test_several_numpy_prompts_are_listed(self):
        prompt_files.write_numpy_prompts(self.root, 1, {"a/prompt": _PROMPT, "b/prompt": _PROMPT})
        with self.assertRaisesRegex(ValueError, r"several prompts \(a.prompt, b.prompt\)"):
            prompt_files.read_prompt(self.root)

    @parameterized.named_parameters(
        ("vector", np.zeros(8), r"shape \(8,\)"),
        ("three_dimensions", np.zeros((2, 5, 8)), r"shape \(2, 5, 8\)"),
        ("integers", np.zeros((5, 8), np.int32), "dtype int32"),
        ("pickled", np.array([[{}]], dtype=object), "damaged or pickled"),
    )
    def test_arrays_that_are_no_prompt(self, array, message):
        path = self.save("p.npy", array)
        with self.assertRaisesRegex(ValueError, message):
            prompt_files.read_prompt(path)

    @parameterized.parameters(b"", b"garbage", b"PK\x03\x04", b"\x80\x04K\x01.")
    def test_other_files(self, content):
        path = os.path.join(self.root, "p.npy")
        paths.write_bytes(path, content)
        with self.assertRaisesRegex(ValueError, "p.npy is not an npy file"):
            prompt_files.read_prompt(path)

    def test_every_truncation_is_an_error(self):
        path = self.save("p.npy", _PROMPT)
        data = paths.read_bytes(path)
        for length in (7, 9, 20, 80, 128, len(data) - 1):
            paths.write_bytes(path, data[:length])
            with self.subTest(length), self.assertRaisesRegex(ValueError, "p.npy is a damaged"):
                prompt_files.read_prompt(path)

    def test_a_header_that_promises_too_much(self):
        path = self.save("p.npy", _PROMPT)
        data = paths.read_bytes(path)
        promising = data.replace(b"(5, 8), }         ", b"(5, 8000000000), }")
        self.assertNotEqual(promising, data)
        paths.write_bytes(path, promising)
        with self.assertRaisesRegex(ValueError, "p.npy is a damaged"):
            prompt_files.read_prompt(path)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(6, 127), st.integers(0, 255))
    def test_a_changed_header_byte_is_harmless_or_an_error(self, position, value):
        data = bytearray(paths.read_bytes(self.save("p.npy", _PROMPT)))
        data[position] = value
        path = os.path.join(self.root, "changed.npy")
        paths.write_bytes(path, bytes(data))
        try:
            prompt_files.read_prompt(path)
        except ValueError as error:
            self.assertIn("changed.npy", str(error))

    @parameterized.parameters("missing", "")
    def test_nothing_there(self, name):
        with self.assertRaisesRegex(FileNotFoundError, r"A prompt is an npy file"):
            prompt_files.read_prompt(os.path.join(self.root, name))


class CheckShapeTest(parameterized.TestCase):
    def test_the_same_shape_passes(self):
        prompt_files.check_shape((5, 8), (5, 8))

    @parameterized.parameters(
        ((5, 8), (6, 8), "--prompt_length .PROMPT_LENGTH. to 5, or"),
        ((5, 8), (5, 9), "vectors have 8 numbers and the model's embeddings 9.*another size"),
        ((5, 8), (6, 9), "another size"),
        ((0, 8), (6, 8), r"needs \(6, 8\): it is empty; change --prompt_file"),
    )
    def test_advice(self, found, needed, message):
        with self.assertRaisesRegex(ValueError, message):
            prompt_files.check_shape(found, needed)


class WriteNumpyPromptsTest(parameterized.TestCase):
    @parameterized.parameters("local", "memory://prompts")
    def test_place_name_and_content(self, root):
        root = self.create_tempdir().full_path if root == "local" else root
        folder = prompt_files.write_numpy_prompts(root, 12, {_NAME: _PROMPT.astype(np.float64)})
        self.assertEqual(folder, f"{root}/numpy_checkpoints/checkpoint_12")
        self.assertEqual(paths.list_names(folder), ["encoder.prompt.prompt.prompt"])
        np.testing.assert_array_equal(prompt_files.read_prompt(root), _PROMPT)

    @parameterized.parameters("local", "memory://backup")
    def test_an_existing_folder_becomes_a_backup(self, root):
        root = self.create_tempdir().full_path if root == "local" else root
        prompt_files.write_numpy_prompts(root, 12, {_NAME: 1 - _PROMPT})
        with mock.patch.object(prompt_files.time, "time", return_value=17.25):
            prompt_files.write_numpy_prompts(root, 12, {_NAME: _PROMPT})
        names = paths.list_names(f"{root}/numpy_checkpoints")
        self.assertEqual(names, ["checkpoint_12", "checkpoint_12.backup-17.25"])
        backup = f"{root}/numpy_checkpoints/checkpoint_12.backup-17.25"
        np.testing.assert_array_equal(prompt_files.read_prompt(backup), 1 - _PROMPT)
        np.testing.assert_array_equal(prompt_files.read_prompt(root), _PROMPT)

    @parameterized.parameters("float32", "bfloat16")
    def test_all_prompts_of_a_step_are_read_back(self, dtype):
        root = self.create_tempdir().full_path
        prompts = {_NAME: _PROMPT.astype(dtype), "a/scale": np.ones(3, np.float32)}
        prompt_files.write_numpy_prompts(root, 12, prompts, dtype)
        read = prompt_files.read_numpy_prompts(root, 12)
        self.assertCountEqual(read, prompts)
        for name, value in prompts.items():
            self.assertEqual(read[name].dtype, np.float32)
            np.testing.assert_array_equal(read[name], value.astype(np.float32))
        with self.assertRaisesRegex(FileNotFoundError, "checkpoint_13 .*steps with prompts: 12"):
            prompt_files.read_numpy_prompts(root, 13)

    def test_nothing_to_write(self):
        root = self.create_tempdir().full_path
        self.assertIsNone(prompt_files.write_numpy_prompts(root, 12, {}))
        self.assertEqual(os.listdir(root), [])

    def test_a_failed_write_keeps_the_old_prompt(self):
        root = self.create_tempdir().full_path
        prompt_files.write_numpy_prompts(root, 12, {_NAME: _PROMPT})
        with mock.patch.object(paths, "write_bytes", side_effect=OSError("disk full")):
            with self.assertRaisesRegex(OSError, "disk full"):
                prompt_files.write_numpy_prompts(root, 12, {_NAME: 1 - _PROMPT})
        np.testing.assert_array_equal(prompt_files.read_prompt(root), _PROMPT)
        self.assertEqual(os.listdir(f"{root}/numpy_checkpoints"), ["checkpoint_12"])


if __name__ == "__main__":
    absltest.main()
