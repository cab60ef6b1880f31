# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import os

from absl.testing import absltest, flagsaver

from prompt_tuning.data import make_tfds

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
