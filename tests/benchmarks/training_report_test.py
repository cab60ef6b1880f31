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
        {
            "dtype": "float32",
            "texts": 64,
            "seconds": _seconds(
                **{"512_wide": 20.0, "512_wide,_XLA": 50.0}, ours=2.0, peer=5.0
            ),
        }
    ],
}  # fmt: skip


GPU = {
    "size": "xl",
    "gpu": [
        {
            "about": {"jax": "1.2", "processor": "A card"},
            "start": {"ours": {"load": 1.5, "step": 20.0}, "peer": {"load": 1.0, "step": 0.5}},
            "matmul_gflops": {"ours": 500e3, "peer": 400e3},
            "cases": [
                {
                    "batch": 8,
                    "dtype": "bfloat16",
                    "minimum_gflop": 25e3,
                    "seconds": {
                        "ours": {"pass": 0.1, "wait": 0.12, "device_bytes": 7 * 10**9},
                        "peer": {"out_of_memory": True},
                    },
                },
                {
                    "batch": 4,
                    "dtype": "bfloat16",
                    "minimum_gflop": 12e3,
                    "seconds": {
                        "ours": {"pass": 0.1, "wait": 0.1, "device_bytes": 10**9},
                        "peer": {"pass": 0.25, "wait": 0.25, "device_bytes": 10**9},
                    },
                },
            ],
        }
    ],
}


class TrainingReportTest(absltest.TestCase):
    def test_ratios_and_figures(self):
        text = training_report.markdown([MEASURED])
        for cell in (
            "small float32 B8 | **1.50x** | 2.000 / 3.000 | 1.50x | 80% / 53% | 1000 / 2000",
            "9.0 cold, 4.0 warm / 8.0",
            "**2.50x** | **25.00x** | **10.00x** | 2.00 / 5.00 / 20.00 / 50.00",
            "amx_bf16",
        ):
            self.assertIn(cell, text)

    def test_a_gpu_has_a_table_of_its_own(self):
        text = training_report.markdown([MEASURED, GPU])
        for cell in (
            "small float32 B8 | **1.50x**",
            "jax 1.2, processor A card; one product of 8192³: 500 to 500 TFLOP/s",
            "xl bfloat16 B8 | this project | 100.0 | 120.0 |  | 50% | 7.0 | 1.5 + 20.0",
            "xl bfloat16 B8 | PEFT | out of memory",
            "xl bfloat16 B4 | this project | 100.0 | 100.0 | 2.50x | 24% | 1.0",
        ):
            self.assertIn(cell, text)
        self.assertNotIn("CPU-s", training_report.markdown([GPU]))

    def test_the_plot_has_a_bar_of_each_program(self):
        root = ElementTree.fromstring(training_report.svg([MEASURED]))
        bars = [e for e in root.iter() if e.tag.endswith("rect") and e.get("height") == "13"]
        self.assertLen(bars, 6)
        ours, peer = (float(bar.get("width")) for bar in bars[:2])
        self.assertAlmostEqual(ours / peer, 2 / 3, places=2)

    def test_there_is_no_plot_of_a_gpu_alone(self):
        folder = pathlib.Path(self.create_tempdir().full_path)
        (folder / "xl.json").write_text(json.dumps(GPU))
        with flagsaver.flagsaver(output=str(folder / "page")):
            training_report.main(["training_report", str(folder / "xl.json")])
        self.assertIn("xl bfloat16 B8", (folder / "page_figures.md").read_text())
        self.assertFalse((folder / "page.svg").exists())

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
