# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
from unittest import mock

import jax
from absl.testing import absltest, parameterized

from prompt_tuning.runs import devices

_CHECK = "from prompt_tuning.runs import devices; devices.check()"


class CheckTest(parameterized.TestCase):
    def check(self, installed, backend="cpu", **variables):
        with (
            mock.patch.dict(os.environ, variables),
            mock.patch.object(devices, "_is_installed", installed.__contains__),
            mock.patch.object(jax, "default_backend", return_value=backend),
        ):
            if not variables:
                os.environ.pop("JAX_PLATFORMS", None)
            devices.check()

    def test_an_environment_for_the_cpu_asks_for_nothing(self):
        self.check([])

    @parameterized.parameters(
        ("libtpu", "--config=tpu.*finds no TPU"), ("jax-cuda12-plugin", "--config=cuda.*no NVIDIA")
    )
    def test_the_environment_s_device_is_missing(self, distribution, pattern):
        with self.assertRaisesRegex(ValueError, f"{pattern}.*JAX_PLATFORMS=cpu"):
            self.check([distribution])

    @parameterized.parameters("tpu", "gpu")
    def test_the_device_is_there(self, backend):
        self.check(["libtpu", "jax-cuda12-plugin"], backend)

    def test_the_cpu_on_purpose(self):
        self.check(["libtpu"], JAX_PLATFORMS="cpu")

    @mock.patch.object(jax, "default_backend", side_effect=AssertionError)
    @mock.patch.dict(os.environ, {"JAX_PLATFORMS": "cuda"})
    def test_jax_fails_without_a_word(self, _):
        with self.assertRaisesRegex(ValueError, "JAX_PLATFORMS=cuda.*used: there is none; set"):
            devices.check()

    def test_what_is_installed(self):
        self.assertTrue(devices._is_installed("jax"))
        self.assertFalse(devices._is_installed("no-such-distribution"))

    def test_the_cpu_first_on_purpose(self):
        self.check([], JAX_PLATFORMS="cpu,cuda")

    # As the launch scripts say it. JAX itself falls back to the CPU for the second.
    @parameterized.parameters("tpu", "cuda,cpu", "tpu,cpu")
    def test_jax_itself_does_not_find_the_device(self, platforms):
        path = os.pathsep.join(filter(None, sys.path))
        environment = {"JAX_PLATFORMS": platforms, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
        found = subprocess.run(
            [sys.executable, "-c", _CHECK],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        last = found.stderr.strip().splitlines()[-1]
        self.assertRegex(
            last, f"ValueError: JAX_PLATFORMS={platforms} asks for .*JAX_PLATFORMS=cpu"
        )


if __name__ == "__main__":
    absltest.main()
