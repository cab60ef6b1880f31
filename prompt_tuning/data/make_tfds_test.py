# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import os
from unittest import mock

from absl.testing import absltest, flagsaver

from prompt_tuning.data import make_tfds, tfds_recipe

_SST2 = "sentence\tlabel\nx\t1\n"


class MakeTfdsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self._source = self.create_tempdir().full_path
        os.makedirs(os.path.join(self._source, "SST-2"))
        self._train = os.path.join(self._source, "SST-2", "train.tsv")
        with open(self._train, "w", encoding="utf-8") as file:
            file.write(_SST2)

    def _wanted(self, names=(), source=None, files=()) -> dict[str, dict[str, str]]:
        return {str(d): paths for d, paths in make_tfds.wanted(names, source, files)}

    def test_makes_what_it_finds(self):
        out = self.create_tempdir().full_path
        printed = io.StringIO()
        with flagsaver.flagsaver(source=self._source, data_dir=out):
            with contextlib.redirect_stdout(printed):
                make_tfds.main(["make_tfds"])
        self.assertIn(f"glue/sst2:2.0.0: train -> {out}/glue/sst2/2.0.0", printed.getvalue())
        for version in ("1.0.0", "2.0.0"):
            self.assertTrue(os.path.exists(f"{out}/glue/sst2/{version}/dataset_info.json"))

    def test_one_dataset(self):
        got = self._wanted(["glue/sst2:2.0.0"], files=["train=/a", "test=/b=c"])
        self.assertEqual(got, {"glue/sst2:2.0.0": {"train": "/a", "test": "/b=c"}})
        got = self._wanted(["glue/sst2:1.0.0"], source=self._source)
        self.assertEqual(got, {"glue/sst2:1.0.0": {"train": self._train}})

    def _main(self, **flags) -> str:
        """What the program prints; its error, where it ends with one."""
        flags = {"data_dir": self.create_tempdir().full_path, **flags}
        printed = io.StringIO()
        with flagsaver.flagsaver(**flags), contextlib.redirect_stdout(printed):
            try:
                make_tfds.main(["make_tfds"])
            except SystemExit as error:
                return str(error)
        return printed.getvalue()

    def test_any_dataset_of_local_files(self):
        path = self.create_tempfile("c4.jsonl", '{"text": "a page"}\n').full_path
        printed = self._main(datasets=["c4/en:2.2.0"], files=[f"train={path}"])
        self.assertRegex(printed, "c4/en:2.2.0: train -> .*/c4/en/2.2.0\n")
        self.assertRegex(
            self._main(datasets=["c4/en"], files=[f"train={path}"]), "^error: c4/en has no version"
        )

    def test_what_is_there_stays(self):
        out = self.create_tempdir().full_path
        flags = {"source": self._source, "data_dir": out}
        self._main(datasets=["glue/sst2:1.0.0"], **flags)
        again = [line for line in self._main(**flags).splitlines() if line.startswith("glue/")]
        self.assertLen(again, 2)
        self.assertEqual(
            again[0], f"glue/sst2:1.0.0: was in {out}/glue/sst2/1.0.0 before, and stays as it is"
        )
        self.assertIn("glue/sst2:2.0.0: train -> ", again[1])
        # One that is asked for by name is to be made.
        named = self._main(datasets=["glue/sst2:1.0.0"], **flags)
        self.assertRegex(named, "^error: .* is already in .*; remove that folder")

    def test_download(self):
        with mock.patch.object(tfds_recipe, "download", return_value="/there") as download:
            printed = self._main(datasets=["squad/v1.1:3.0.0", "xsum:1.1.0"], download=True)
        self.assertEqual(printed, "squad/v1.1:3.0.0 -> /there\nxsum:1.1.0 -> /there\n")
        self.assertEqual([c.args[0] for c in download.call_args_list][1], "xsum:1.1.0")
        for flags, message in (
            ({}, "^error: --download needs --datasets"),
            ({"source": self._source}, "^error: --download needs no local files"),
            ({"datasets": ["c4/en:2.2.0"]}, "^error: TFDS .* makes only version .* of c4/en"),
        ):
            with self.subTest(message=message):
                self.assertRegex(self._main(download=True, **flags), message)

    def test_mistakes_are_one_line(self):
        self.assertRegex(self._main(source="/nowhere"), "^error: there is no folder /nowhere")

    def test_flags_that_do_not_fit(self):
        for arguments, error, message in (
            ({}, ValueError, "either --source"),
            ({"source": "/a", "files": ["train=/b"]}, ValueError, "either --source"),
            ({"files": ["train=/b"]}, ValueError, "--datasets has 0"),
            ({"names": ["glue/sst2"], "files": ["/b"]}, ValueError, "like train=PATH"),
            ({"source": "/nowhere"}, FileNotFoundError, "no folder /nowhere"),
            ({"source": self.create_tempdir().full_path}, FileNotFoundError, "neither GLUE nor"),
            (
                {"source": self._source, "names": ["glue/rte:2.0.0"]},
                FileNotFoundError,
                "no files of glue/rte:2.0.0",
            ),
        ):
            with self.subTest(message=message), self.assertRaisesRegex(error, message):
                self._wanted(**arguments)


if __name__ == "__main__":
    absltest.main()
