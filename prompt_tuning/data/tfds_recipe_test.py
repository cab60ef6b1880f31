# SPDX-License-Identifier: Apache-2.0
"""Datasets that TFDS makes: of a local file by its URL, and of servers that do not answer."""

import os
from unittest import mock

import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized

from prompt_tuning.data import tfds_recipe


class _Lines(tfds.core.GeneratorBasedBuilder):
    """A dataset with an example for each line of a file that it downloads."""

    VERSION = tfds.core.Version("1.1.0")
    SUPPORTED_VERSIONS = [tfds.core.Version("1.0.0")]
    url = ""

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        path = dl_manager.download(self.url)
        return {"train": self._generate_examples(path)}

    def _generate_examples(self, path):
        with open(path, encoding="utf-8") as file:
            yield from ((i, {"text": line.strip()}) for i, line in enumerate(file))


class OwnLines(_Lines):
    """TFDS finds it as `own_lines`."""


class OwnByHand(_Lines):
    """TFDS finds it as `own_by_hand`."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Ask\nthe authors."

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(dl_manager.manual_dir / "a.txt")}


class TfdsRecipeTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        tfds.disable_progress_bar()
        self._data_dir = os.path.join(self.create_tempdir().full_path, "tfds")
        source = self.create_tempfile("rows.txt", "one\ntwo\n").full_path
        self.enter_context(mock.patch.object(OwnLines, "url", f"file://{source}"))
        self.enter_context(mock.patch.object(tfds_recipe, "_RETRIES", 0))

    def test_versions(self):
        self.assertEqual(tfds_recipe.versions("own_lines:1.0.0"), ["1.1.0"])
        self.assertEqual(tfds_recipe.versions("glue/sst2"), ["2.0.0"])
        self.assertEqual(tfds_recipe.versions("glue/sst3"), [])
        self.assertEqual(tfds_recipe.versions("nothing_like_it:1.0.0"), [])

    @parameterized.parameters("own_lines", "own_lines:1.1.0")
    def test_downloads_and_prepares(self, name):
        folder = tfds_recipe.download(name, self._data_dir)
        self.assertEqual(folder, os.path.join(self._data_dir, "own_lines", "1.1.0"))
        rows = tfds.as_numpy(tfds.load("own_lines:1.1.0", split="train", data_dir=self._data_dir))
        self.assertEqual(sorted(row["text"] for row in rows), [b"one", b"two"])
        # A second call finds it, whatever became of the source.
        with mock.patch.object(OwnLines, "url", "file:///nowhere"):
            self.assertEqual(tfds_recipe.download(name, self._data_dir), folder)

    def test_without_a_network(self):
        with mock.patch.object(OwnLines, "url", "http://127.0.0.1:9/rows.txt"):
            with self.assertRaisesRegex(
                OSError, "own_lines:1.1.0 could not be downloaded .*127.0.0.1.* a network"
            ) as caught:
                tfds_recipe.download("own_lines:1.1.0", self._data_dir)
        self.assertNotIn("\n", str(caught.exception))
        self.assertFalse(os.path.exists(os.path.join(self._data_dir, "own_lines", "1.1.0")))

    @parameterized.parameters(
        ("own_lines:1.0.0", r"makes only version 1.1.0 of own_lines, and 1.0.0 .*--files"),
        ("c4/en:2.2.0", "makes only version 3.* of c4/en, and 2.2.0 was asked for"),
        ("nothing_like_it:1.0.0", "makes no version of nothing_like_it"),
        ("own_by_hand", "own_by_hand .*Manual directory .*Ask the authors.*copy its folder to"),
    )
    def test_what_cannot_be_made(self, name, message):
        with self.assertRaisesRegex(ValueError, message) as caught:
            tfds_recipe.download(name, self._data_dir)
        self.assertNotIn("\n", str(caught.exception))


if __name__ == "__main__":
    absltest.main()
