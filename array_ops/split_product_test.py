# SPDX-License-Identifier: Apache-2.0
"""Large float32 products, which are sums of bfloat16 products where the processor has AMX."""

import ctypes
import os
import subprocess
import sys

import jax
import numpy as np
from absl.testing import absltest, parameterized

from array_ops import einsum, onednn


def _normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _product(subscripts, a, b):
    return np.asarray(jax.jit(lambda a, b: einsum.einsum(subscripts, a, b))(a, b))


def _error(found, a, b):
    """The largest error, as a part of what the row and column could add up to."""
    wide_a, wide_b = a.astype("float64"), b.astype("float64")
    scale = np.linalg.norm(wide_a, axis=1)[:, None] * np.linalg.norm(wide_b, axis=0)
    return np.max(np.abs(found - wide_a @ wide_b) / np.maximum(scale, 1e-300))


class SplitProductTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        if not onednn.types():
            self.skipTest("there is no compiled module here, or no AVX-512")

    # Whole tiles, none whole, and more than a block of depth, rows and columns.
    @parameterized.product(
        sizes=((128, 128, 64), (131, 149, 67), (300, 130, 1100), (161, 1050, 90), (520, 128, 512)),
        order=("mk,kn->mn", "km,kn->mn", "mk,nk->mn", "km,nk->mn"),
    )
    def test_as_exact_as_float32(self, sizes, order):
        rows, columns, depth = sizes
        a, b = _normal(0, (rows, depth)), _normal(1, (depth, columns))
        first, second = order.partition("->")[0].split(",")
        found = _product(order, a if first == "mk" else a.T, b if second == "kn" else b.T)
        # Numpy's own float32 is between 1e-7 and 2e-7 here; two bfloat16 parts would be 1e-5.
        self.assertLess(_error(found, a, b), 3e-7)

    @parameterized.parameters(1e-30, 1e-15, 1e15, 1e30)
    def test_of_any_size(self, scale):
        a, b = _normal(0, (150, 200)) * np.float32(scale), _normal(1, (200, 150))
        b *= np.float32(10) ** np.random.default_rng(2).uniform(-6, 6, (200, 1)).astype("float32")
        self.assertLess(_error(_product("mk,kn->mn", a, b), a, b), 3e-7)

    def test_whole_numbers_are_exact(self):
        """All bits of both operands count: sums of 24-bit numbers with their complements."""
        generator = np.random.default_rng(0)
        a = generator.integers(-(2**11), 2**11, (160, 192)).astype("float32")
        b = generator.integers(-4, 4, (192, 160)).astype("float32")
        wide = a + np.float32(2**23) * generator.integers(-1, 1, a.shape).astype("float32")
        np.testing.assert_array_equal(_product("mk,kn->mn", a, b), a @ b)
        picked = np.eye(192, 160, dtype="float32")
        np.testing.assert_array_equal(_product("mk,kn->mn", wide, picked), wide[:, :160])

    def test_batches_and_broadcast_axes(self):
        a, b = _normal(0, (3, 2, 140, 70)), _normal(1, (3, 70, 150))
        found = _product("xymk,xkn->xymn", a, b)
        for x in range(3):
            for y in range(2):
                self.assertLess(_error(found[x, y], a[x, y], b[x]), 3e-7)

    @parameterized.parameters(np.nan, np.inf, -np.inf)
    def test_what_is_not_finite_stays_so_and_stays_in_its_row(self, value):
        a, b = _normal(0, (130, 128)), _normal(1, (128, 130))
        a[7, 5] = value
        found = _product("mk,kn->mn", a, b)
        self.assertFalse(np.isfinite(found[7]).any())
        self.assertTrue(np.isfinite(np.delete(found, 7, axis=0)).all())

    def test_an_environment_variable_turns_it_off(self):
        """Both ways are float32's rounding apart, and not the same bits where AMX is there."""
        program = (
            "import numpy, sys\n"
            "from array_ops import split_product_test as test\n"
            "a, b = test._normal(0, (256, 256)), test._normal(1, (256, 256))\n"
            "numpy.save(sys.argv[1], test._product('mk,kn->mn', a, b))\n"
        )
        outputs = []
        for index, said in enumerate(("1", "0")):
            path = os.path.join(self.create_tempdir().full_path, f"{index}.npy")
            environment = os.environ | {
                "PROMPT_TUNING_SPLIT_FLOAT32": said,
                "PYTHONPATH": os.pathsep.join(sys.path),
            }
            subprocess.run([sys.executable, "-c", program, path], env=environment, check=True)
            outputs.append(np.load(path))
        np.testing.assert_allclose(*outputs, rtol=0, atol=1e-4)
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            has_amx = "amx_bf16" in file.read()
        # arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA): the system may refuse the tiles.
        has_amx = has_amx and ctypes.CDLL(None).syscall(158, 0x1023, 18) == 0
        self.assertEqual(np.array_equal(*outputs), not has_amx)


if __name__ == "__main__":
    jax.config.update("jax_numpy_rank_promotion", "raise")
    absltest.main()
