# SPDX-License-Identifier: Apache-2.0
"""Our checkpoint reader and writer against files that the original stack wrote.

Reading must give the same values; writing must give the same bytes, so that T5X and prompt-tuning
read what we write. Flax serves as a second oracle for the msgpack encoding.
"""

import os
import shutil
import subprocess
import sys
from unittest import mock

import flax.serialization
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import (
    assignment,
    fingerprint,
    msgpack_arrays,
    paths,
    prompt_files,
    t5x_format,
)

_GOLDEN = os.path.join(os.path.dirname(__file__), "..", "testdata", "golden_checkpoints")
_REPOSITORY = os.path.join(os.path.dirname(__file__), "..", "..")
_PROMPT = "encoder/prompt/prompt/prompt"
_STATES = "state/param_states/"


def golden(*names: str) -> str:
    return os.path.join(_GOLDEN, *names)


def files_below(folder: str) -> dict[str, bytes]:
    """Every file below a folder, relative name to content."""
    found = {}
    for root, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = os.path.join(root, name)
            found[os.path.relpath(path, folder)] = paths.read_bytes(path)
    return found


class GoldenTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        with np.load(golden("params.npz")) as file:
            self.params = dict(file)
        self.root = self.create_tempdir().full_path

    def completed(self, step_dir: str) -> str:
        """A stored folder together with the arrays that it shares with checkpoint_1000."""
        folder = os.path.join(self.root, step_dir)
        shutil.copytree(golden("checkpoint_1000"), folder)
        shutil.copytree(golden(step_dir), folder, dirs_exist_ok=True)
        return folder

    def assert_same_files(self, folder: str, expected: str):
        ours, theirs = files_below(folder), files_below(expected)
        self.assertNotEmpty(theirs)
        self.assertCountEqual(ours, theirs)
        self.assertEqual([name for name in theirs if ours[name] != theirs[name]], [])


class ReadingTest(GoldenTest):
    def assert_base_weights(self, checkpoint: t5x_format.Checkpoint, expected=None):
        arrays = t5x_format.read_arrays(checkpoint.target(), "float32")
        self.assertEqual(checkpoint.step, 1000)
        self.assertCountEqual(arrays, self.params)
        for name, value in (expected or self.params).items():
            np.testing.assert_array_equal(arrays[name], value, err_msg=name)

    @parameterized.parameters(
        "checkpoint_1000", "checkpoint_1000/checkpoint", "orbax", "orbax/checkpoint_1000"
    )
    def test_base_checkpoint(self, path):
        self.assert_base_weights(t5x_format.open_checkpoint(golden(path)))

    def test_arrays_inside_the_index(self):
        self.assert_base_weights(
            t5x_format.open_checkpoint(self.completed("legacy_inline/checkpoint_1000"))
        )

    def test_bfloat16(self):
        rounded = {name: value.astype(ml_dtypes.bfloat16) for name, value in self.params.items()}
        self.assert_base_weights(t5x_format.open_checkpoint(golden("legacy_bf16")), rounded)

    def test_one_fingerprint_for_the_same_weights_in_every_format(self):
        inline = self.completed("legacy_inline/checkpoint_1000")
        folders = (golden("checkpoint_1000"), golden("orbax"), inline)
        texts = {
            fingerprint.fingerprint(t5x_format.open_checkpoint(path).target()) for path in folders
        }
        self.assertEqual(texts, {fingerprint.fingerprint(self.params)})
        rounded = {name: value.astype(ml_dtypes.bfloat16) for name, value in self.params.items()}
        self.assertEqual(
            fingerprint.fingerprint(t5x_format.open_checkpoint(golden("legacy_bf16")).target()),
            fingerprint.fingerprint(rounded),
        )

    def test_arrays_on_a_device_have_the_same_fingerprint(self):
        on_device = {name: jnp.asarray(value) for name, value in self.params.items()}
        on_device["scalar"] = jnp.asarray(2.0)
        self.assertEqual(
            fingerprint.fingerprint(on_device),
            fingerprint.fingerprint(self.params | {"scalar": np.float32(2)}),
        )

    def test_prompt_run(self):
        checkpoint = t5x_format.open_checkpoint(self.completed("prompt_run/checkpoint_1010"))
        self.assertEqual(checkpoint.step, 1010)
        self.assertCountEqual(checkpoint.target(), [*self.params, _PROMPT])
        states = {
            name: leaf for name, leaf in checkpoint.leaves.items() if name.startswith(_STATES)
        }
        self.assertEqual(
            {
                name.removeprefix(f"{_STATES}{_PROMPT}/"): leaf.shape
                for name, leaf in states.items()
            },
            {"m": (1,), "v": (7, 16), "v_col": (1,), "v_row": (1,)},
        )
        np.testing.assert_array_equal(
            checkpoint.target()[_PROMPT].get(), prompt_files.read_prompt(golden("prompt_run"))
        )

    def test_numpy_prompts(self):
        prompt = prompt_files.read_prompt(golden("prompt_run"))
        self.assertEqual((prompt.shape, prompt.dtype), ((7, 16), np.float32))
        rounded = prompt_files.read_prompt(golden("prompt_run_bf16"))
        np.testing.assert_array_equal(rounded, prompt.astype(ml_dtypes.bfloat16).astype(np.float32))

    def test_the_assignment_map_of_the_prompt_configs(self):
        base = t5x_format.open_checkpoint(golden("checkpoint_1000")).leaves
        model = t5x_format.open_checkpoint(self.completed("prompt_run/checkpoint_1010")).leaves
        assigned = assignment.apply_assignment_map(
            base, model, [(r"^.*prompt.*$", None)], fallback_to_scratch=True
        )
        afresh = [name for name, source in assigned.items() if source is None]
        self.assertCountEqual(afresh, [name for name in model if "prompt" in name])
        self.assertEqual(assigned["state/step"], "state/step")


class WritingTest(GoldenTest):
    @parameterized.parameters(
        ("checkpoint_1000", "float32"), ("legacy_bf16/checkpoint_1000", "bfloat16")
    )
    def test_base_checkpoint_bytes(self, expected, dtype):
        folder = t5x_format.write_checkpoint(self.root, 1000, self.params, save_dtype=dtype)
        self.assert_same_files(folder, golden(expected))

    def test_training_checkpoint_bytes(self):
        expected = self.completed("prompt_run/checkpoint_1010")
        leaves = t5x_format.read_arrays(t5x_format.open_checkpoint(expected).leaves)
        target = {name[7:]: value for name, value in leaves.items() if name.startswith("target/")}
        slots = {
            name.removeprefix(_STATES): value for name, value in leaves.items() if _STATES in name
        }
        folder = t5x_format.write_checkpoint(f"{self.root}/ours", 1010, target, slots)
        self.assert_same_files(folder, expected)

    @parameterized.parameters(("prompt_run", "float32"), ("prompt_run_bf16", "bfloat16"))
    def test_numpy_prompt_bytes(self, expected, dtype):
        prompt = prompt_files.read_prompt(golden("prompt_run"))
        prompt_files.write_numpy_prompts(self.root, 1010, {_PROMPT: prompt}, dtype)
        self.assert_same_files(
            f"{self.root}/numpy_checkpoints", golden(expected, "numpy_checkpoints")
        )


class MsgpackTest(absltest.TestCase):
    # Keys in sorted order, which is how Flax writes them.
    TREE = {
        "a": {"h": np.ones(3, ml_dtypes.bfloat16), "s": np.int32(3), "t": "text", "z": 1j},
        "b": {"n": None, "x": np.arange(10, dtype=np.float32).reshape(5, 2)},
    }

    def test_bytes_are_those_of_flax(self):
        self.assertEqual(
            msgpack_arrays.encode(self.TREE), flax.serialization.msgpack_serialize(self.TREE)
        )

    def test_chunked_bytes_are_those_of_flax(self):
        with (
            mock.patch.object(flax.serialization, "MAX_CHUNK_SIZE", 12),
            mock.patch.object(msgpack_arrays, "MAX_CHUNK_BYTES", 12),
        ):
            theirs = flax.serialization.msgpack_serialize(self.TREE)
            self.assertEqual(msgpack_arrays.encode(self.TREE), theirs)
        np.testing.assert_array_equal(msgpack_arrays.decode(theirs)["b"]["x"], self.TREE["b"]["x"])


class ImportTest(absltest.TestCase):
    def test_checkpoints_are_read_without_jax_and_tensorflow(self):
        code = (
            "import sys;"
            "from prompt_tuning.checkpoints import assignment, fingerprint, prompt_files;"
            "print([m for m in ('jax', 'flax', 'tensorflow', 'orbax') if m in sys.modules])"
        )
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([_REPOSITORY, *sys.path]))
        result = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(result.stdout.strip(), "[]")


if __name__ == "__main__":
    absltest.main()
