# SPDX-License-Identifier: Apache-2.0
"""Tests of file access; the object-store half runs on tensorstore's in-memory store."""

import os
from unittest import mock

from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import paths


class PathsTest(parameterized.TestCase):
    def root(self, kind: str) -> str:
        name = self.id().rpartition(".")[2]
        return f"memory://{name}" if kind == "url" else self.create_tempdir().full_path

    @parameterized.parameters("local", "url")
    def test_write_then_read(self, kind):
        path = paths.join(self.root(kind), "a", "b.txt")
        paths.write_bytes(path, b"one")
        paths.write_bytes(path, b"two")
        self.assertEqual(paths.read_bytes(path), b"two")

    @parameterized.parameters("local", "url")
    def test_missing_file(self, kind):
        path = paths.join(self.root(kind), "missing")
        self.assertFalse(paths.exists(path))
        with self.assertRaisesRegex(FileNotFoundError, "missing"):
            paths.read_bytes(path)

    @parameterized.parameters("local", "url")
    def test_files_folders_and_names(self, kind):
        root = self.root(kind)
        for name in ("ab/x", "ab/y/z", "a", "abc"):
            paths.write_bytes(paths.join(root, name), b"1")
        self.assertEqual(paths.list_names(root), ["a", "ab", "abc"])
        self.assertEqual(paths.list_names(paths.join(root, "ab")), ["x", "y"])
        self.assertEqual(paths.list_names(paths.join(root, "none")), [])
        self.assertTrue(paths.is_file(paths.join(root, "a")))
        self.assertFalse(paths.is_file(paths.join(root, "ab")))
        self.assertTrue(paths.is_directory(paths.join(root, "ab")))
        self.assertFalse(paths.is_directory(paths.join(root, "abc")))

    @parameterized.parameters("local", "url")
    def test_move_and_remove(self, kind):
        root = self.root(kind)
        source, destination = paths.join(root, "old"), paths.join(root, "new")
        paths.write_bytes(paths.join(source, "d/f"), b"1")
        paths.move_directory(source, destination)
        self.assertFalse(paths.exists(source))
        self.assertEqual(paths.read_bytes(paths.join(destination, "d/f")), b"1")
        paths.remove_directory(destination)
        paths.remove_directory(destination)
        self.assertFalse(paths.exists(destination))

    @parameterized.parameters("local", "url")
    def test_remove_file_removes_that_file_alone(self, kind):
        root = self.root(kind)
        for name in ("f", "f.x"):
            paths.write_bytes(paths.join(root, name), b"1")
        for _ in range(2):
            paths.remove_file(paths.join(root, "f"))
            self.assertEqual(paths.list_names(root), ["f.x"])

    @parameterized.parameters("local", "url")
    def test_move_never_overwrites(self, kind):
        root = self.root(kind)
        for name in ("old/f", "new/f"):
            paths.write_bytes(paths.join(root, name), name.encode())
        with self.assertRaises(FileExistsError):
            paths.move_directory(paths.join(root, "old"), paths.join(root, "new"))
        self.assertEqual(paths.read_bytes(paths.join(root, "new/f")), b"new/f")

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(self):
        root = self.root("local")
        path = os.path.join(root, "f")
        paths.write_bytes(path, b"old")
        with mock.patch.object(os, "fsync", side_effect=OSError("disk full")):
            with self.assertRaisesRegex(OSError, "disk full"):
                paths.write_bytes(path, b"new")
        self.assertEqual(paths.read_bytes(path), b"old")
        self.assertEqual(os.listdir(root), ["f"])

    def test_unknown_url_scheme_names_the_path(self):
        with self.assertRaisesRegex(OSError, "nosuch://bucket"):
            paths.read_bytes("nosuch://bucket/f")

    @parameterized.parameters(
        ("gs://b/a", ("c", "d"), "gs://b/a/c/d"),
        ("gs://b/a/", ("c",), "gs://b/a/c"),
        ("a", ("c",), "a/c"),
    )
    def test_join(self, path, names, expected):
        self.assertEqual(paths.join(path, *names), expected)

    @parameterized.parameters(
        ("gs://b/a/c", "gs://b/a"), ("gs://b/a/", "gs://b"), ("x/y", "x"), ("y", "")
    )
    def test_parent(self, path, expected):
        self.assertEqual(paths.parent(path), expected)


if __name__ == "__main__":
    absltest.main()
