# SPDX-License-Identifier: Apache-2.0
import contextlib
import io

import seqio
from absl.testing import flagsaver

from prompt_tuning.data import cache_tasks, fixture_tfds

_TASK = "taskless_glue_sst2_v200"
_SST2 = "sentence\tlabel\na film\t1\na book\t0\n"


class CacheTasksTest(fixture_tfds.TfdsTestCase):
    files = {
        "glue/sst2:2.0.0": {"train": _SST2, "validation": _SST2},
        # The task reads its test split.
        "glue/ax:2.0.0": {"validation": "premise\thypothesis\tlabel\na\tb\t1\n"},
    }

    def setUp(self):
        super().setUp()
        self.addCleanup(seqio.set_global_cache_dirs, [])

    def test_writes_a_cache_and_tells_mistakes_in_one_line(self):
        folder = self.create_tempdir().full_path
        printed = io.StringIO()
        with flagsaver.flagsaver(
            tasks=[_TASK], output_cache_dir=folder, tfds_data_dir=self.data_dir, workers=1,
            vocabulary=fixture_tfds.vocabulary().sentencepiece_model_file,
        ):  # fmt: skip
            with contextlib.redirect_stdout(printed):
                cache_tasks.main(["cache_tasks"])
            self.assertIn(f"{_TASK}: written to", printed.getvalue())
            with flagsaver.flagsaver(vocabulary="/nowhere"):
                with self.assertRaisesRegex(SystemExit, "/nowhere; set --vocabulary"):
                    cache_tasks.main(["cache_tasks"])
            with flagsaver.flagsaver(tasks=["taskless_glue_ax_v200"]):
                with self.assertRaisesRegex(
                    SystemExit,
                    "glue/ax:2.0.0, which the task 'taskless_glue_ax_v200' reads, has no split "
                    "'test' in .*; it has validation: .*make_tfds",
                ):
                    cache_tasks.main(["cache_tasks"])
            with flagsaver.flagsaver(tasks=["taskless_glue_rte_v200"]):
                with self.assertRaisesRegex(SystemExit, "glue/rte:2.0.0, .* is not prepared in"):
                    cache_tasks.main(["cache_tasks"])
            with flagsaver.flagsaver(tasks=["bundled_reviews"]):
                with self.assertRaisesRegex(SystemExit, "'bundled_reviews' cannot be cached"):
                    cache_tasks.main(["cache_tasks"])


if __name__ == "__main__":
    fixture_tfds.absltest.main()
