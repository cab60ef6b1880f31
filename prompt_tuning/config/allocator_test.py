# SPDX-License-Identifier: Apache-2.0
"""Tests that freed memory is used again, in processes of their own: malloc cannot be reset."""

import importlib.util
import subprocess
import sys
from unittest import mock

from absl.testing import absltest, parameterized

from prompt_tuning.config import allocator

# Page faults of a thread that twice fills and frees 64 MB, the second time.
_PROGRAM = """
import ctypes, resource, sys, threading
from prompt_tuning.config import allocator
if "one" in sys.argv:
    assert allocator.use_one_heap()
if "keep" in sys.argv:
    assert allocator.keep_freed_memory() == ("one" in sys.argv)
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
def fill():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    piece = library.malloc(64 << 20)
    ctypes.memset(piece, 1, 64 << 20)
    library.free(piece)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
faults = []
def twice():
    fill()
    fill()
thread = threading.Thread(target=twice)
thread.start()
thread.join()
print(faults[1])
"""


def _faults(*how: str) -> int:
    command = [sys.executable, "-c", _PROGRAM, *how]
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    return int(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


class AllocatorTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        found = [importlib.util.find_spec(name) for name in allocator._ACCELERATORS]
        if sys.platform != "linux" or any(found):
            self.skipTest("this is for CPUs under Linux")

    def test_freed_memory_is_used_again(self):
        # Pages have 4 KB, or 64 KB on some processors.
        self.assertLess(_faults("one", "keep"), 100)

    @parameterized.parameters((), ("one",), ("keep",))
    def test_both_are_needed(self, *how):
        self.assertGreater(_faults(*how), 500)

    def test_not_beside_an_accelerator(self):
        with mock.patch.object(importlib.util, "find_spec", return_value="found"):
            self.assertFalse(allocator.use_one_heap.__wrapped__())

    def test_not_off_linux(self):
        with mock.patch.object(sys, "platform", "darwin"):
            self.assertFalse(allocator.use_one_heap.__wrapped__())


if __name__ == "__main__":
    absltest.main()
