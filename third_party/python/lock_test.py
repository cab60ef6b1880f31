# SPDX-License-Identifier: Apache-2.0
"""The lock files hold what was asked for, and nothing without a hash."""

import os
import re

from absl.testing import absltest, parameterized

from third_party.python import lock

FOLDER = os.path.dirname(__file__)


def read(name):
    with open(os.path.join(FOLDER, name)) as file:
        return file.read()


def entries(text):
    """{distribution: number of hashes}; a distribution may stand twice with different markers."""
    result = {}
    for block in re.split(r"\n(?=\S)", text.strip()):
        name = re.match(r"([A-Za-z0-9_.-]+)==", block)
        if not name:
            raise AssertionError(f"not a pinned entry: {block.splitlines()[0]}")
        hashes = len(re.findall(r"--hash=sha256:[0-9a-f]{64}", block))
        result[name.group(1)] = min(hashes, result.get(name.group(1), hashes))
    return result


class LockTest(parameterized.TestCase):
    @parameterized.parameters("requirements.lock", "presubmit.lock")
    def test_every_entry_is_pinned_with_hashes(self, name):
        found = entries(read(name))
        self.assertGreater(len(found), 5)
        self.assertEqual([n for n, count in found.items() if not count], [])

    @parameterized.parameters("requirements.lock", "presubmit.lock")
    def test_lock_holds_what_was_asked_for(self, name):
        found = entries(read(name))
        for line in read(lock.LOCKS[name][0]).splitlines():
            line = line.split("#")[0].strip()
            if line:
                wanted = re.split(r"[\s=<>;]", line)[0].lower().replace("_", "-")
                self.assertIn(wanted, found)

    @parameterized.parameters(
        ("requirements_tpu.lock", "libtpu"), ("requirements_cuda.lock", "jax-cuda12-plugin")
    )
    def test_accelerators_add_to_the_cpu_s_versions(self, name, wanted):
        found = entries(read(name))
        self.assertIn(wanted, found)
        self.assertEqual([n for n, count in found.items() if not count], [])
        self.assertEmpty(set(found) & set(entries(read(lock.BASE))))

    @parameterized.parameters("requirements_tpu.lock", "requirements_cuda.lock")
    def test_plugins_are_of_the_cpu_s_jax(self, name):
        jax_version = re.search(r"^jax==(\S+)", read(lock.BASE), re.MULTILINE)[1]
        for plugin in re.findall(r"^jax-\S+==(\S+)", read(name), re.MULTILINE):
            self.assertEqual(plugin, jax_version)

    def test_additions(self):
        base = "a==1 \\\n    --hash=x\nb==2 ; python_version < '3' \\\n    --hash=y\n"
        more = "c==3 \\\n    --hash=z \\\n    --hash=w\n"
        self.assertEqual(lock.additions("# made by uv\n" + base + more, base), more)
        self.assertEqual(lock.additions(base, base), "")
        with self.assertRaisesRegex(ValueError, "a==7 is pinned otherwise in requirements.lock"):
            lock.additions(base.replace("a==1", "a==7"), base)

    def test_full_tensorflow_is_never_installed(self):
        for line in read("requirements.lock").splitlines():
            if line.startswith(("tensorflow==", "libclang==")):
                self.assertIn("sys_platform == 'never'", line)

    def test_command(self):
        command = lock.compile_command("uv", "requirements.lock")
        self.assertEqual(command[:3], ["uv", "pip", "compile"])
        self.assertIn("--generate-hashes", command)
        self.assertEqual(command[command.index("--override") + 1], "overrides.in")
        self.assertNotIn("--constraint", command)
        added = lock.compile_command("uv", "requirements_tpu.lock")
        self.assertEqual(added[added.index("--constraint") + 1], "requirements.lock")


if __name__ == "__main__":
    absltest.main()
