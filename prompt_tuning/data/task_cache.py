# SPDX-License-Identifier: Apache-2.0
"""SeqIO's offline cache of a task, written without Beam: read it with `use_cached=True`.

    <cache dir>/<task>/<split>.tfrecord-00000-of-0000N   examples up to the task's cache placeholder
    <cache dir>/<task>/info.<split>.json, stats.<split>.json, COMPLETED

A unit of work is one shard of the source; units run in processes of their own and arrive under
their final names by a rename, so what was interrupted goes on with the units that are missing. The
examples of a shard are permuted by a fixed seed (SeqIO's tool shuffles them too), so the same call
writes the same bytes.
"""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from prompt_tuning.data import cached_task, tasks

COMPLETED = cached_task.COMPLETED
_PROGRESS = ".progress"


@dataclasses.dataclass(frozen=True)
class Unit:
    """One shard of one split of one task.

    Attributes:
      task: name.
      split: name.
      index: of the shard.
      count: how many shards the split has.
      folder: of the task's cache.
    """

    task: str
    split: str
    index: int
    count: int
    folder: str

    @property
    def path(self) -> str:
        """The file with its examples."""
        prefix = seqio.utils.get_cached_tfrecord_prefix(self.folder, self.split)
        return f"{prefix}-{self.index:05}-of-{self.count:05}"

    @property
    def progress_path(self) -> str:
        """The file that says that it is done, with its share of the statistics."""
        return os.path.join(self.folder, _PROGRESS, f"{os.path.basename(self.path)}.json")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a worker needs to find the tasks again.

    Attributes:
      module: registers tasks, or None.
      vocabulary: of `data_ops`, for tasks over public datasets, or None for the published one.
      tfds_data_dir: where TFDS's datasets are, or None.
    """

    module: str | None = None
    vocabulary: Any = None
    tfds_data_dir: str | None = None

    def task(self, name: str) -> seqio.Task | seqio.Mixture:
        """The registered task or mixture; errors as `tasks.ensure_registered`."""
        if self.tfds_data_dir:
            seqio.set_tfds_data_dir_override(self.tfds_data_dir)
        return tasks.ensure_registered(name, self.module, self.vocabulary)


def write(
    names: Sequence[str],
    cache_dir: str,
    settings: Settings = Settings(),
    *,
    overwrite: bool = False,
    workers: int | None = None,
    note: Callable[[str], None] = print,
) -> list[str]:
    """Caches tasks, and the tasks of mixtures.

    Args:
      names: of tasks or mixtures.
      cache_dir: what SeqIO gets as `--seqio_additional_cache_dirs`.
      settings: where tasks come from.
      overwrite: begin complete caches anew; else they stay as they are.
      workers: processes; None: one for each processor, 1: none beside this one.
      note: told of every task that is done or was there.

    Returns:
      The folders of the caches.

    Raises:
      ValueError: a task cannot be cached, or a split of it is empty.
    """
    members = list(dict.fromkeys(m for name in names for m in _tasks(settings.task(name))))
    for task in members:
        _check(task)
    folders = {task.name: _folder(cache_dir, task.name) for task in members}
    units: list[Unit] = []
    for task in members:
        folder = folders[task.name]
        if os.path.exists(os.path.join(folder, COMPLETED)):
            if not overwrite:
                _check_same_vocabulary(task, folder, settings)
                note(f"{task.name}: complete in {folder}")
                continue
            shutil.rmtree(folder)
        units += _units(task, folder)
    _run([unit for unit in units if not _is_done(unit, settings)], settings, workers)
    for task in members:
        own = [unit for unit in units if unit.task == task.name]
        if own:
            _complete(own)
            note(f"{task.name}: written to {folders[task.name]}")
    return list(folders.values())


def write_unit(unit: Unit, settings: Settings) -> None:
    """Writes the examples of one shard, and then what `_complete` needs to know of them."""
    task = settings.task(unit.task)
    seed = _seed(unit)
    shard = seqio.ShardInfo(unit.index, unit.count) if unit.count > 1 else None
    dataset = task.source.get_dataset(unit.split, shuffle=False, seed=seed, shard_info=shard)
    dataset = task.preprocess_precache(dataset, seed=seed).prefetch(tf.data.AUTOTUNE)
    records: list[bytes] = []
    stats: dict[str, int] = {"examples": 0}
    features: dict[str, Any] = {}
    for example in dataset:
        if not features:
            features = {name: _feature(value) for name, value in example.items()}
        _count(task, example, stats)
        records.append(
            seqio.dict_to_tfexample(_plain(example)).SerializeToString(deterministic=True)
        )
    os.makedirs(os.path.dirname(unit.progress_path), exist_ok=True)
    temporary = f"{unit.path}.tmp-{os.getpid()}"
    with tf.io.TFRecordWriter(temporary) as writer:
        for row in np.random.default_rng(seed).permutation(len(records)):
            writer.write(records[row])
    os.replace(temporary, unit.path)
    done = {"stats": stats, "features": features, "vocabulary": _vocabulary(settings)}
    _write_json(unit.progress_path, done)


def _tasks(task: seqio.Task | seqio.Mixture) -> list[seqio.Task]:
    return [task] if isinstance(task, seqio.Task) else list(task.tasks)


def _check(task: seqio.Task) -> None:
    if not (task.supports_caching and task.source.caching_permitted):
        raise ValueError(
            f"the task {task.name!r} cannot be cached: it has no CacheDatasetPlaceholder, or reads "
            "texts, which is as fast as a cache; leave it out of --tasks."
        )


def _check_same_vocabulary(task: seqio.Task, folder: str, settings: Settings) -> None:
    recorded = {cached_task.recorded_vocabulary(folder, split) for split in task.splits}
    if recorded - {"", _vocabulary(settings)} and _vocabulary(settings):
        raise ValueError(
            f"the cache {folder} of the task {task.name!r} was made with another vocabulary; set "
            "--overwrite to make it anew, or another --output_cache_dir."
        )


def _folder(cache_dir: str, name: str) -> str:
    return os.path.join(cache_dir, seqio.utils.get_task_dir_from_name(name))


def _units(task: seqio.Task, folder: str) -> Iterator[Unit]:
    for split in task.splits:
        count = max(1, len(task.source.list_shards(split)))
        yield from (Unit(task.name, split, index, count, folder) for index in range(count))


def _run(units: Sequence[Unit], settings: Settings, workers: int | None) -> None:
    workers = min(len(units), workers or os.cpu_count() or 1)
    if workers <= 1:
        for unit in units:
            write_unit(unit, settings)
        return
    # Spawned: TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        for result in [pool.submit(write_unit, unit, settings) for unit in units]:
            result.result()


def _is_done(unit: Unit, settings: Settings) -> bool:
    if not (os.path.exists(unit.path) and os.path.exists(unit.progress_path)):
        return False
    return _read_json(unit.progress_path)["vocabulary"] == _vocabulary(settings)


def _complete(units: Sequence[Unit]) -> None:
    """Writes info and statistics of every split of one task, then the sign that all is there."""
    folder = units[0].folder
    for split in dict.fromkeys(unit.split for unit in units):
        parts = [_read_json(unit.progress_path) for unit in units if unit.split == split]
        stats = _merged([part["stats"] for part in parts])
        if not stats["examples"]:
            raise ValueError(
                f"the split {split!r} of the task {units[0].task!r} has no example, and SeqIO "
                "cannot read an empty cache; leave the task out of --tasks."
            )
        info = {
            "num_shards": len(parts),
            "features": next(part["features"] for part in parts if part["features"]),
            "seqio_version": seqio.__version__,
            cached_task.VOCABULARY: parts[0]["vocabulary"],
        }
        _write_json(seqio.utils.get_cached_info_path(folder, split), info)
        _write_json(seqio.utils.get_cached_stats_path(folder, split), stats)
    with open(os.path.join(folder, COMPLETED), "w", encoding="utf-8") as file:
        file.write("COMPLETED")
    shutil.rmtree(os.path.join(folder, _PROGRESS))


def _merged(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    merged: dict[str, int] = {}
    for part in parts:
        for name, value in part.items():
            both = (merged.get(name, 0), value)
            merged[name] = max(both) if name.endswith("_max_tokens") else sum(both)
    return merged


def _count(task: seqio.Task, example: Mapping[str, Any], stats: dict[str, int]) -> None:
    """Adds an example to the statistics of SeqIO's tool."""
    stats["examples"] += 1
    for name, feature in task.output_features.items():
        value = example.get(name)
        if not isinstance(value, tf.Tensor) or value.dtype not in (tf.int32, tf.int64):
            continue
        ids = (feature.vocabulary.eos_id, feature.vocabulary.pad_id)
        counted = int(np.isin(value.numpy(), [i for i in ids if i is not None], invert=True).sum())
        stats[f"{name}_tokens"] = stats.get(f"{name}_tokens", 0) + counted
        stats[f"{name}_max_tokens"] = max(stats.get(f"{name}_max_tokens", 0), counted)


def _feature(value: Any) -> dict[str, Any]:
    shape = value.shape.as_list()
    return {"shape": [None, *shape[1:]] if shape else [], "dtype": value.dtype.name}


def _plain(example: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, tf.RaggedTensor) else value.numpy()
        for name, value in example.items()
    }


def _seed(unit: Unit) -> int:
    name = f"{unit.task}/{unit.split}/{unit.index}"
    return int.from_bytes(hashlib.md5(name.encode()).digest()[:4], "little") >> 1


def _vocabulary(settings: Settings) -> str:
    return cached_task.vocabulary_fingerprint(settings.vocabulary)


def _read_json(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _write_json(path: str, content: Mapping[str, Any]) -> None:
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        json.dump(content, file, sort_keys=True)
    os.replace(f"{path}.tmp", path)
