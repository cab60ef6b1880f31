# SPDX-License-Identifier: Apache-2.0
"""The lock files hold what was asked for, by hash; PyTorch apart from the rest."""

import os
import re

from absl.testing import absltest, parameterized

from third_party.huggingface_peers import install

FOLDER = os.path.dirname(__file__)


def read(name):
    with open(os.path.join(FOLDER, name)) as file:
        return file.read()


def entries(name):
    """{distribution: (version, number of hashes)} of a lock file."""
    text = "\n".join(line for line in read(name).splitlines() if not line.startswith("#"))
    found = {}
    for block in re.split(r"\n(?=\S)", text.strip()):
        match = re.match(r"([A-Za-z0-9_.-]+)==([^ ]+)", block)
        found[match[1]] = (match[2], len(re.findall(r"--hash=sha256:[0-9a-f]{64}", block)))
    return found


class LockTest(parameterized.TestCase):
    @parameterized.parameters(install.PEERS, install.TORCH)
    def test_every_entry_has_hashes(self, name):
        found = entries(name)
        self.assertNotEmpty(found)
        self.assertEqual([key for key, (_, hashes) in found.items() if not hashes], [])

    def test_what_was_asked_for_is_there(self):
        peers, torch = entries(install.PEERS), entries(install.TORCH)
        for line in read("peers.in").splitlines():
            match = re.match(r"([a-z]+)==(\S+)", line)
            if match:
                found = torch if match[1] == "torch" else peers
                self.assertEqual(found[match[1]][0], match[2])
        self.assertIn("safetensors", peers)

    def test_pytorch_is_apart(self):
        self.assertEqual([name for name in entries(install.PEERS) if "nvidia" in name], [])
        self.assertEmpty(entries(install.PEERS).keys() & entries(install.TORCH).keys())

    def test_split(self):
        parts = install.split(
            "a==1 \\\n    --hash=x\nnvidia-b==2 \\\n    --hash=y\ntorch==3 \\\n  z\n"
        )
        self.assertTrue(parts[install.PEERS].endswith("\na==1 \\\n    --hash=x\n"))
        self.assertIn("nvidia-b==2 \\\n    --hash=y\ntorch==3 \\\n  z\n", parts[install.TORCH])


class CommandsTest(absltest.TestCase):
    def test_by_hash(self):
        first, second = install.commands("py", "folder", None)
        self.assertEqual(first[-3:], ["--require-hashes", "-r", "folder/torch.lock"])
        self.assertEqual(second[-3:], ["--require-hashes", "-r", "folder/peers.lock"])
        self.assertIn("--no-deps", first)

    def test_pytorch_from_a_file(self):
        first, _ = install.commands("py", "folder", "torch.whl")
        self.assertEqual((first[0], first[-1]), ("py", "torch.whl"))


if __name__ == "__main__":
    absltest.main()
