# SPDX-License-Identifier: Apache-2.0
"""Tests that TensorBoard reads what the writer wrote, and that TensorFlow stays out."""

import os
import subprocess
import sys

from absl.testing import absltest
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util

from prompt_tuning.training import metrics_writer


def _read(directory, tag):
    """Returns [(step, value)] of one tag, as TensorBoard sees it."""
    events = event_accumulator.EventAccumulator(directory)
    events.Reload()
    return [
        (event.step, float(tensor_util.make_ndarray(event.tensor_proto)))
        for event in events.Tensors(tag)
    ]


class MetricsWriterTest(absltest.TestCase):
    def test_tensorboard_reads_the_curves(self):
        directory = os.path.join(self.create_tempdir().full_path, "train")
        with metrics_writer.MetricsWriter(directory) as writer:
            writer.write_scalars(1_100_100, {"loss": 0.5, "timing/steps_per_second": 10.0})
            writer.write_scalars(1_100_200, {"loss": 0.25, "timing/steps_per_second": 11.0})
        self.assertEqual(_read(directory, "loss"), [(1_100_100, 0.5), (1_100_200, 0.25)])
        self.assertLen(_read(directory, "timing/steps_per_second"), 2)
        self.assertLen(os.listdir(directory), 1)

    def test_tensorboard_reads_the_texts(self):
        directory = self.create_tempdir().full_path
        with metrics_writer.MetricsWriter(directory) as writer:
            writer.write_texts(7, {"config": "# Title\n\n    A = 'ä'\n"})
        events = event_accumulator.EventAccumulator(directory)
        events.Reload()
        (event,) = events.Tensors("config")
        self.assertEqual(event.step, 7)
        text = tensor_util.make_ndarray(event.tensor_proto).item()
        self.assertEqual(text.decode(), "# Title\n\n    A = 'ä'\n")
        plugin = events.SummaryMetadata("config").plugin_data.plugin_name
        self.assertEqual(plugin, "text")

    def test_scalars_are_on_disk_before_close(self):
        directory = self.create_tempdir().full_path
        writer = metrics_writer.MetricsWriter(directory)
        writer.write_scalars(1, {"loss": 2.0})
        self.assertEqual(_read(directory, "loss"), [(1, 2.0)])
        writer.close()

    def test_two_writers_of_one_process_do_not_share_a_file(self):
        directory = self.create_tempdir().full_path
        for step in (1, 2):
            with metrics_writer.MetricsWriter(directory) as writer:
                writer.write_scalars(step, {"loss": float(step)})
        self.assertLen(os.listdir(directory), 2)
        self.assertEqual(_read(directory, "loss"), [(1, 1.0), (2, 2.0)])

    def test_nothing_is_made_before_the_first_scalar(self):
        directory = os.path.join(self.create_tempdir().full_path, "train")
        metrics_writer.MetricsWriter(directory).close()
        self.assertFalse(os.path.exists(directory))

    def test_tensorflow_is_not_imported(self):
        program = (
            "import sys, tempfile\n"
            "from prompt_tuning.training import metrics_writer\n"
            "writer = metrics_writer.MetricsWriter(tempfile.mkdtemp())\n"
            "writer.write_scalars(1, {'loss': 1.0})\n"
            "writer.write_texts(1, {'config': ''})\n"
            "writer.close()\n"
            "sys.exit('tensorflow' in sys.modules)\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        result = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
        self.assertEqual(result.returncode, 0)


if __name__ == "__main__":
    absltest.main()
