# SPDX-License-Identifier: Apache-2.0
"""TensorBoard scalars and texts in MODEL_DIR/train, as T5X writes them, without TensorFlow.

TensorBoard's record format and protocol buffers do the work. Its `EventFileWriter` is not used,
because that imports TensorFlow, seconds of start-up, wherever TensorFlow is installed.
"""

import os
import socket
import time
from collections.abc import Mapping

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer import record_writer
from tensorboard.util import tensor_util

_FILE_VERSION = "brain.Event:2"


class MetricsWriter:
    """Appends to one event file in `directory`, which is made by the first write."""

    def __init__(self, directory: str):
        self._directory = os.fspath(directory)
        self._records: record_writer.RecordWriter | None = None

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes `{tag: value}` at `step` and flushes, so that a killed run keeps its curve."""
        event = event_pb2.Event(wall_time=time.time(), step=step)
        for tag in sorted(scalars):
            # Rank 0 float32, and the plugin's name: what TF2 summaries, hence T5X, contain.
            event.summary.value.add(
                tag=tag,
                tensor=tensor_util.make_tensor_proto(float(scalars[tag]), dtype="float32"),
                metadata=summary_pb2.SummaryMetadata(
                    plugin_data=summary_pb2.SummaryMetadata.PluginData(
                        plugin_name=scalar_metadata.PLUGIN_NAME
                    ),
                    data_class=summary_pb2.DATA_CLASS_SCALAR,
                ),
            )
        self._write(event)

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Writes `{tag: Markdown}` at `step`: T5X's `config` is one."""
        event = event_pb2.Event(wall_time=time.time(), step=step)
        for tag in sorted(texts):
            event.summary.value.add(
                tag=tag,
                tensor=tensor_util.make_tensor_proto(texts[tag].encode(), dtype="string"),
                metadata=summary_pb2.SummaryMetadata(
                    plugin_data=summary_pb2.SummaryMetadata.PluginData(
                        plugin_name=text_metadata.PLUGIN_NAME
                    ),
                    data_class=summary_pb2.DATA_CLASS_TENSOR,
                ),
            )
        self._write(event)

    def close(self) -> None:
        """Closes the file; a later write opens a new one."""
        if self._records is not None:
            self._records.close()
            self._records = None

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _write(self, event: event_pb2.Event) -> None:
        if self._records is None:
            self._records = self._open()
        self._records.write(event.SerializeToString())
        self._records.flush()

    def _open(self) -> record_writer.RecordWriter:
        os.makedirs(self._directory, exist_ok=True)
        # TensorBoard finds event files by this name and orders them by it.
        now = time.time()
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}"
        path, copy = os.path.join(self._directory, f"{name}.0"), 0
        while os.path.exists(path):
            copy += 1
            path = os.path.join(self._directory, f"{name}.{copy}")
        records = record_writer.RecordWriter(open(path, "xb"))
        version = event_pb2.Event(wall_time=now, file_version=_FILE_VERSION)
        records.write(version.SerializeToString())
        return records
