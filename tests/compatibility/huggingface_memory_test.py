# SPDX-License-Identifier: Apache-2.0
"""A model of three billion parameters is converted both ways in less than 1.5 GB of memory.

The folder has the shapes of T5 1.1 XL, random values in bfloat16 and several shards: 5.7 GB, of
which about three times as much is written. Slow; needs 18 GB of free disk space.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import ml_dtypes
import numpy as np
from absl.testing import absltest

from prompt_tuning.checkpoints import huggingface_format, huggingface_names, t5x_format
from prompt_tuning.checkpoints.lazy_array import LazyArray

_XL = huggingface_names.Sizes(32128, 2048, 32, 64, 5120, 24, 24, 32, gated=True, own_head=True)
_LIMIT = 1.5e9
_DISK_BYTES = 18e9
# Runs the tool, then prints the largest resident memory of its process in KiB.
_MEASURED = """
import resource, sys
from absl import flags
from tools.checkpoints import command_line, convert_checkpoint
status = command_line.status(convert_checkpoint.main, flags.FLAGS(sys.argv)[:1])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


class _RandomArray(LazyArray):
    """bfloat16 values that depend on the name alone."""

    def __init__(self, name: str, shape: tuple[int, ...]):
        super().__init__(name, shape, np.dtype(ml_dtypes.bfloat16))

    def _read(self) -> np.ndarray:
        rng = np.random.default_rng(list(self.name.encode()))
        # Any sign and mantissa, exponents around that of 0.01: no NaN, and nothing to compress.
        bits = rng.integers(0, 2**16, self.shape, np.uint16)
        return ((bits & 0x80FF) | 0x3C00).view(self.dtype)


class MemoryTest(absltest.TestCase):
    def convert(self, **settings) -> float:
        """Runs the tool; the peak memory of its process in bytes."""
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, *arguments],
            env=environment,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        peak = 1024.0 * int(done.stdout.rpartition("peak ")[2])
        print(f"to {settings['to']}: peak {peak / 1e9:.2f} GB", file=sys.stderr)
        return peak

    def test_there_and_back(self):
        root = pathlib.Path(self.create_tempdir().full_path)
        if shutil.disk_usage(root).free < _DISK_BYTES:
            self.skipTest(f"needs {_DISK_BYTES / 1e9:.0f} GB of free disk space in {root}")
        target = {p.name: _RandomArray(p.name, p.shape) for p in huggingface_names.parameters(_XL)}
        huggingface_format.write_checkpoint(str(root / "hf"), target, shard_bytes=10**9)
        self.assertGreater(len(list((root / "hf").glob("*.safetensors"))), 5)

        peak = self.convert(input=root / "hf", to="t5x", output=root / "t5x")
        self.assertLess(peak, _LIMIT)
        peak = self.convert(input=root / "t5x", to="huggingface", output=root / "back")
        self.assertLess(peak, _LIMIT)

        native = t5x_format.open_checkpoint(str(root / "t5x")).target()
        back = huggingface_format.open_checkpoint(str(root / "back")).target()
        self.assertCountEqual(back, target)
        for name in sorted(target)[:: len(target) // 20]:
            expected = target[name].get().tobytes()
            self.assertEqual(native[name].get().tobytes(), expected, name)
            self.assertEqual(back[name].get().tobytes(), expected, name)


if __name__ == "__main__":
    absltest.main()
