# SPDX-License-Identifier: Apache-2.0

import json
import pathlib
import xml.etree.ElementTree as ElementTree

from absl.testing import absltest, flagsaver

from tests.benchmarks import training_report


def _seconds(**cpu):
    return {name.replace("_", " "): {"cpu": one, "wall": 2 * one} for name, one in cpu.items()}


MEASURED = {
    "size": "small",
    "machine": {"processor": "A", "bf16_units": ["amx_bf16"], "cores": 1, "load": 2.0},
    "fixed": [
        {
            "batch": 8,
            "dtype": "float32",
            "first_step_cpu": {"ours": 9.0, "ours, compiled before": 4.0, "peer": 8.0},
            "peak": {"ours": {"bytes": 10**9}, "peer": {"bytes": 2 * 10**9}},
            "seconds": _seconds(ours=2.0, peer=3.0),
            "minimum_gflop": 160.0,
            "matmul_gflops": {"ours": 80.0, "peer": 100.0},
        }
    ],
    "texts": [
        {"dtype": "float32", "texts": 64, "seconds": _seconds(**{"512_wide": 20.0}, ours=2.0, peer=5.0)}
    ],
}  # fmt: skip


class TrainingReportTest(absltest.TestCase):
    def test_ratios_and_figures(self):
        text = training_report.markdown([MEASURED])
        for cell in (
            "small float32 B8 | **1.50x** | 2.000 / 3.000 | 1.50x | 80% / 53% | 1000 / 2000",
            "9.0 cold, 4.0 warm / 8.0",
            "**2.50x** | **10.00x** | 2.00 / 5.00 / 20.00",
            "amx_bf16",
        ):
            self.assertIn(cell, text)

    def test_the_plot_has_a_bar_of_each_program(self):
        root = ElementTree.fromstring(training_report.svg([MEASURED]))
        bars = [e for e in root.iter() if e.tag.endswith("rect") and e.get("height") == "13"]
        self.assertLen(bars, 5)
        ours, peer = (float(bar.get("width")) for bar in bars[:2])
        self.assertAlmostEqual(ours / peer, 2 / 3, places=2)

    def test_files_are_written(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        source = folder / "small.json"
        source.write_text(json.dumps(MEASURED))
        with flagsaver.flagsaver(output=str(folder / "page")):
            training_report.main(["training_report", str(source)])
        self.assertIn("small float32 B8", (folder / "page_figures.md").read_text())
        self.assertTrue((folder / "page.svg").read_text().startswith("<svg"))


if __name__ == "__main__":
    absltest.main()
