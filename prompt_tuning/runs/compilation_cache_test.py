# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

import jax
from absl.testing import absltest

from prompt_tuning.runs import compilation_cache


class CompilationCacheTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        before = jax.config.jax_compilation_cache_dir
        self.addCleanup(jax.config.update, "jax_compilation_cache_dir", before)
        jax.config.update("jax_compilation_cache_dir", None)

    def enabled_with(self, **variables):
        with mock.patch.dict(os.environ, variables, clear=True):
            compilation_cache.enable()
        return jax.config.jax_compilation_cache_dir

    def test_lies_in_the_users_cache_with_a_version_and_a_processor(self):
        home = self.create_tempdir().full_path
        path = self.enabled_with(HOME=home)
        self.assertRegex(path, r"\.cache/prompt_tuning/xla-[0-9.]+-[0-9a-f]{8}$")
        self.assertStartsWith(path, home)
        self.assertTrue(os.path.isdir(path))
        self.assertStartsWith(
            compilation_cache.folder({"XDG_CACHE_HOME": "/c"}), "/c/prompt_tuning/"
        )

    def test_the_users_own_setting_wins(self):
        home = self.create_tempdir().full_path
        self.assertIsNone(self.enabled_with(HOME=home, JAX_COMPILATION_CACHE_DIR="/elsewhere"))
        self.assertIsNone(self.enabled_with(HOME=home, JAX_ENABLE_COMPILATION_CACHE="false"))
        self.assertEqual(os.listdir(home), [])

    def test_no_home_or_a_file_in_its_place_is_no_error(self):
        self.assertIsNone(self.enabled_with())
        file = self.create_tempfile().full_path
        self.assertIsNone(self.enabled_with(HOME=file))


if __name__ == "__main__":
    absltest.main()
