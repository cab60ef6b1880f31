# SPDX-License-Identifier: Apache-2.0
import dataclasses
import hashlib
import io
import json
import os
import tarfile
import time
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import prompt_artifact, prompt_files

_PROMPT = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
_METADATA = prompt_artifact.Metadata(
    name="reviews",
    base_fingerprint="1-abc",
    vocabulary_fingerprint="def",
    length=3,
    width=4,
    base_model="t5",
    task="reviews",
    metrics={"accuracy": 0.5},
    recipe={"steps": 3},
)
_CARD = "# reviews\n\nÄ card.\n"


class PromptArtifactTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.path = os.path.join(self.root, "prompt.tar")
        prompt_artifact.write(self.path, _PROMPT, _METADATA, _CARD)

    def contents(self):
        with tarfile.open(self.path) as archive:
            return {m.name: archive.extractfile(m).read() for m in archive}

    def rewrite(self, contents):
        with tarfile.open(self.path, "w") as archive:
            for name, data in contents.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))

    def change_metadata(self, **changes):
        contents = self.contents()
        entries = json.loads(contents["metadata.json"]) | changes
        entries = {name: value for name, value in entries.items() if value is not None}
        self.rewrite(contents | {"metadata.json": json.dumps(entries).encode()})

    def test_there_and_back(self):
        found = prompt_artifact.read(self.path)
        np.testing.assert_array_equal(found.prompt, _PROMPT)
        digest = hashlib.sha256(_PROMPT.tobytes()).hexdigest()
        self.assertEqual(found.metadata, dataclasses.replace(_METADATA, prompt_sha256=digest))
        self.assertEqual(found.card, _CARD)
        self.assertEqual(os.listdir(self.root), ["prompt.tar"])

    def test_the_same_bytes_at_another_time_by_another_user(self):
        with open(self.path, "rb") as file:
            before = file.read()
        with (
            mock.patch.object(time, "time", return_value=1e9),
            mock.patch.object(os, "getuid", return_value=1234),
        ):
            prompt_artifact.write(self.path, _PROMPT, _METADATA, _CARD)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_prompt_files_read_it_packed_and_unpacked(self):
        np.testing.assert_array_equal(prompt_files.read_prompt(self.path), _PROMPT)
        folder = self.create_tempdir("unpacked").full_path
        for name, data in self.contents().items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        np.testing.assert_array_equal(prompt_files.read_prompt(folder), _PROMPT)
        self.assertEqual(
            prompt_artifact.read(folder).metadata, prompt_artifact.read(self.path).metadata
        )

    def test_on_an_object_store(self):
        prompt_artifact.write("memory://artifacts/p.tar", _PROMPT, _METADATA, _CARD)
        self.assertTrue(prompt_artifact.is_artifact("memory://artifacts/p.tar"))
        np.testing.assert_array_equal(prompt_files.read_prompt("memory://artifacts/p.tar"), _PROMPT)

    def test_what_is_none(self):
        other = os.path.join(self.root, "p.npy")
        np.save(other, _PROMPT)
        for path in (other, self.root, os.path.join(self.root, "none")):
            self.assertFalse(prompt_artifact.is_artifact(path))
        self.assertTrue(prompt_artifact.is_artifact(self.path))
        with self.assertRaisesRegex(FileNotFoundError, "none is no prompt artifact"):
            prompt_artifact.read(os.path.join(self.root, "none"))
        with self.assertRaisesRegex(ValueError, "p.npy is no whole tar file"):
            prompt_artifact.read(other)

    @parameterized.parameters(
        (np.zeros((2, 4), np.float32), r"float32 \[2, 4\]; its metadata say float32 \[3, 4\]"),
        (np.zeros((3, 4)), "float64"),
    )
    def test_an_array_that_the_metadata_do_not_describe(self, prompt, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            prompt_artifact.write(self.path, prompt, _METADATA, _CARD)

    @parameterized.parameters(
        ({"length": 2}, r"prompt in .* is float32 \[3, 4\]; .* says float32 \[2, 4\]"),
        ({"length": "3"}, "length '3'; it must be a natural number"),
        ({"prompt_sha256": "0"}, "prompt in .* has SHA-256 .* says 0"),
        ({"format_version": 2}, "format_version 2; this program reads 1"),
        ({"name": None}, "incomplete: .*name"),
    )
    def test_metadata_that_are_wrong(self, changes, pattern):
        self.change_metadata(**changes)
        with self.assertRaisesRegex(ValueError, pattern):
            prompt_artifact.read(self.path)

    @parameterized.parameters("metadata.json", "prompt.safetensors")
    def test_parts_that_are_missing_or_damaged(self, name):
        contents = self.contents()
        self.rewrite(contents | {name: contents[name][:20]})
        with self.assertRaisesRegex(ValueError, f"{name} in .*prompt.tar is (damaged|no JSON)"):
            prompt_artifact.read(self.path)
        del contents[name]
        self.rewrite(contents)
        with self.assertRaisesRegex(ValueError, f"holds no {name}"):
            prompt_artifact.read(self.path)

    def test_a_file_that_was_cut(self):
        with open(self.path, "rb") as file:
            data = file.read()
        with open(self.path, "wb") as file:
            file.write(data[:700])
        with self.assertRaisesRegex(ValueError, "prompt.tar is no"):
            prompt_artifact.read(self.path)

    def test_what_it_was_trained_for_is_accepted(self):
        fits = {"base_fingerprint": "1-abc", "vocabulary_fingerprint": "def"}
        prompt_artifact.check(_METADATA, "p", **fits)
        prompt_artifact.check(_METADATA, "p", **fits, length=3, placement="prefix")

    @parameterized.parameters(
        ({"base_fingerprint": "1-x"}, r"base model \(t5\) 1-abc, and this is 1-x; .*--base_model"),
        ({"vocabulary_fingerprint": "x"}, "vocabulary def, and this is x; .*--vocabulary"),
        ({"length": 5}, "length 3, and this is 5; .*--prompt_length"),
        ({"placement": "suffix"}, "placement prefix, and this is suffix"),
    )
    def test_anything_else_is_refused_with_both(self, changes, pattern):
        fits = {"base_fingerprint": "1-abc", "vocabulary_fingerprint": "def"}
        with self.assertRaisesRegex(ValueError, f"the prompt in p was trained for the {pattern}"):
            prompt_artifact.check(_METADATA, "p", **(fits | changes))


if __name__ == "__main__":
    absltest.main()
