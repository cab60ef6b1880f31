# SPDX-License-Identifier: Apache-2.0
"""Tests of PEFT's adapters, made with the safetensors library; PEFT reads and trains them in
tests/compatibility."""

import json
import os

import ml_dtypes
import numpy as np
import safetensors.numpy
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.checkpoints import peft_adapter

_LENGTH, _WIDTH = 3, 4
_SIZES = {"num_layers": 2, "num_attention_heads": 2}


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


class _AdapterTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.folder = os.path.join(self.root, "adapter")

    def write(self, tensors, **changes) -> str:
        entries = {
            "peft_type": "PROMPT_TUNING",
            "task_type": "SEQ_2_SEQ_LM",
            "num_transformer_submodules": 1,
            "num_virtual_tokens": _LENGTH,
            "token_dim": _WIDTH,
            "base_model_name_or_path": "google/t5-small-lm-adapt",
        }
        entries = {k: v for k, v in (entries | changes).items() if v is not None}
        os.makedirs(self.folder, exist_ok=True)
        path = os.path.join(self.folder, "adapter_model.safetensors")
        safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})
        with open(os.path.join(self.folder, "adapter_config.json"), "w") as file:
            json.dump(entries, file)
        return self.folder


class ReadAdapterTest(_AdapterTest):
    @parameterized.parameters("PROMPT_TUNING", "P_TUNING")
    def test_one_submodule_is_the_prompt(self, peft_type):
        table = _random(_LENGTH, _WIDTH)
        folder = self.write({"prompt_embeddings": table}, peft_type=peft_type)
        adapter = peft_adapter.read_adapter(folder)
        self.assertTrue(peft_adapter.is_adapter(folder))
        np.testing.assert_array_equal(adapter.prompt(), table)
        np.testing.assert_array_equal(adapter.prompt(0), table)
        self.assertEqual(adapter.notes, ())
        self.assertEqual(adapter.base_model, "google/t5-small-lm-adapt")

    # PEFT fills the number in only when the adapter was made from a model.
    @parameterized.parameters(2, None)
    def test_of_two_submodules_the_first_is_the_prompt(self, submodules):
        table = _random(2 * _LENGTH, _WIDTH)
        folder = self.write({"prompt_embeddings": table}, num_transformer_submodules=submodules)
        adapter = peft_adapter.read_adapter(folder)
        np.testing.assert_array_equal(adapter.prompt(), table[:_LENGTH])
        self.assertEqual(
            adapter.notes, ("rows 3 to 5 are for the decoder; PEFT uses nothing of them.",)
        )

    def test_another_task_type_has_one_submodule(self):
        folder = self.write(
            {"prompt_embeddings": _random(_LENGTH, _WIDTH)},
            num_transformer_submodules=None,
            task_type="CAUSAL_LM",
            base_model_name_or_path=None,
        )
        adapter = peft_adapter.read_adapter(folder)
        self.assertEqual((adapter.prompt().shape, adapter.base_model), ((_LENGTH, _WIDTH), ""))

    @parameterized.parameters(1, 2)
    def test_multitask(self, submodules):
        rows = submodules * _LENGTH
        tensors = {
            "prompt_embeddings": _random(rows, _WIDTH),
            "prefix_task_cols": _random(5, rows, 2),
            "prefix_task_rows": _random(5, 2, _WIDTH),
        }
        folder = self.write(
            tensors,
            peft_type="MULTITASK_PROMPT_TUNING",
            num_tasks=5,
            num_ranks=2,
            num_transformer_submodules=submodules,
        )
        adapter = peft_adapter.read_adapter(folder)
        self.assertEqual(adapter.prompts.shape, (5, _LENGTH, _WIDTH))
        factors = np.einsum(
            "pr,rh->ph", *(tensors[f"prefix_task_{x}"][3] for x in ("cols", "rows"))
        )
        expected = (tensors["prompt_embeddings"] * factors)[:_LENGTH]
        np.testing.assert_allclose(adapter.prompt(3), expected, atol=1e-6)
        self.assertLen(adapter.notes, submodules - 1)
        with self.assertRaisesRegex(ValueError, "prompts of 5 tasks; name one, 0 to 4"):
            adapter.prompt()
        for task in (5, -1):
            with self.assertRaisesRegex(ValueError, f"no task {task}; its tasks are 0 to 4"):
                adapter.prompt(task)

    @parameterized.parameters(np.float16, ml_dtypes.bfloat16)
    def test_prompts_are_float32_whatever_the_file(self, dtype):
        table = _random(_LENGTH, _WIDTH).astype(dtype)
        prompt = peft_adapter.read_adapter(self.write({"prompt_embeddings": table})).prompt()
        self.assertEqual(prompt.dtype, np.float32)
        np.testing.assert_array_equal(prompt, table.astype(np.float32))

    @parameterized.named_parameters(
        ("prefix", {"peft_type": "PREFIX_TUNING"}, "keys and values .* no counterpart here"),
        ("lora", {"peft_type": "LORA"}, "'LORA'; this method is no prompt"),
        ("typing_error", {"peft_type": "PROMPT_TUNNING"}, r"mean PROMPT_TUNING\? Accepted are"),
        ("no_type", {"peft_type": None}, "peft_type None"),
        ("length", {"num_virtual_tokens": 4}, r"has shape \[3, 4\]; adapter_config.json says \[4"),
        ("no_length", {"num_virtual_tokens": None}, "num_virtual_tokens None in adapter_config"),
        ("width", {"token_dim": "4"}, "token_dim '4' in adapter_config.json; it must be"),
        ("submodules", {"num_transformer_submodules": 3}, "num_transformer_submodules 3; 1 or 2"),
        ("multitask", {"peft_type": "MULTITASK_PROMPT_TUNING"}, "num_tasks None"),
    )
    def test_a_config_that_does_not_fit(self, changes, message):
        folder = self.write({"prompt_embeddings": _random(_LENGTH, _WIDTH)}, **changes)
        with self.assertRaisesRegex(ValueError, message):
            peft_adapter.read_adapter(folder)

    @parameterized.parameters(
        ({"w": np.ones((3, 4))}, "holds no prompt_embeddings, but w"),
        (
            {"prompt_embeddings": np.ones((3, 4), np.int8)},
            "prompt_embeddings in .* is int8; accepted are float32",
        ),
        (
            {"prompt_embeddings": np.full((3, 4), np.inf, np.float32)},
            "prompt_embeddings in .* has numbers that are NaN or infinite",
        ),
    )
    def test_tensors_that_do_not_fit(self, tensors, message):
        with self.assertRaisesRegex(ValueError, message):
            peft_adapter.read_adapter(self.write(tensors))

    def test_missing_files(self):
        self.write({"prompt_embeddings": _random(_LENGTH, _WIDTH)})
        os.remove(os.path.join(self.folder, "adapter_model.safetensors"))
        with self.assertRaisesRegex(FileNotFoundError, "neither adapter_model.safetensors nor"):
            peft_adapter.read_adapter(self.folder)
        with open(os.path.join(self.folder, "adapter_model.bin"), "wb") as file:
            file.write(b"cos\nsystem\n(S'true'\ntR.")
        with self.assertRaisesRegex(ValueError, "adapter_model.bin is no zip"):
            peft_adapter.read_adapter(self.folder)
        os.remove(os.path.join(self.folder, "adapter_config.json"))
        with self.assertRaisesRegex(FileNotFoundError, "adapter_config.json does not exist"):
            peft_adapter.read_adapter(self.folder)
        self.assertFalse(peft_adapter.is_adapter(self.folder))

    @parameterized.parameters("{", "[]")
    def test_no_json_object(self, text):
        self.write({"prompt_embeddings": _random(_LENGTH, _WIDTH)})
        with open(os.path.join(self.folder, "adapter_config.json"), "w") as file:
            file.write(text)
        with self.assertRaisesRegex(ValueError, "is no JSON|holds no JSON object"):
            peft_adapter.read_adapter(self.folder)


class WriteAdapterTest(_AdapterTest):
    def test_what_peft_reads(self):
        prompt = _random(_LENGTH, _WIDTH)
        peft_adapter.write_adapter(self.folder, prompt, **_SIZES, base_model="google/t5-base")
        self.assertEqual(os.listdir(self.root), ["adapter"])
        found = safetensors.numpy.load_file(os.path.join(self.folder, "adapter_model.safetensors"))
        self.assertEqual(list(found), ["prompt_embeddings"])
        np.testing.assert_array_equal(found["prompt_embeddings"], prompt)
        with open(os.path.join(self.folder, "adapter_config.json")) as file:
            text = file.read()
        config = json.loads(text)
        self.assertEqual(text, json.dumps(config, indent=2, sort_keys=True))
        expected = {
            "peft_type": "PROMPT_TUNING",
            "task_type": "SEQ_2_SEQ_LM",
            "num_virtual_tokens": _LENGTH,
            "token_dim": _WIDTH,
            "num_transformer_submodules": 1,
            "num_layers": 2,
            "num_attention_heads": 2,
            "inference_mode": True,
            "base_model_name_or_path": "google/t5-base",
        }
        self.assertEqual(config, config | expected)

    @settings(deadline=None, max_examples=20)
    @given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 9), st.booleans())
    def test_what_is_written_is_read_bit_for_bit(self, tasks, length, width, single):
        prompts = _random(tasks, length, width) * 1e3
        folder = os.path.join(self.create_tempdir().full_path, "adapter")
        peft_adapter.write_adapter(folder, prompts[0] if single else prompts, **_SIZES)
        adapter = peft_adapter.read_adapter(folder)
        self.assertEqual(adapter.base_model, "")
        self.assertEqual(adapter.notes, ())
        np.testing.assert_array_equal(adapter.prompts, prompts[:1] if single else prompts)

    @parameterized.parameters(
        (np.ones(3),), (np.ones((0, 4)),), (np.ones((3, 4), int),), (np.ones((1, 1, 1, 1)),)
    )
    def test_no_prompt(self, array):
        with self.assertRaisesRegex(ValueError, "a prompt of shape .* was given; accepted are"):
            peft_adapter.write_adapter(self.folder, array, **_SIZES)
        self.assertEqual(os.listdir(self.root), [])

    def test_an_existing_folder_is_left_alone(self):
        os.mkdir(self.folder)
        with self.assertRaisesRegex(FileExistsError, "adapter exists; name a new folder"):
            peft_adapter.write_adapter(self.folder, _random(_LENGTH, _WIDTH), **_SIZES)
        self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    absltest.main()
