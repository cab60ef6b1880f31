# SPDX-License-Identifier: Apache-2.0
"""Small TFDS datasets for tests, and what a task makes of them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import seqio
import tensorflow_datasets as tfds
from absl.testing import absltest

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.data import offline_tfds, task_table

_TINY = os.path.join(
    os.path.dirname(__file__), "..", "..", "data_ops", "tokenizer", "testdata", "tiny.model"
)
LENGTHS = {"inputs": 512, "targets": 64}
TEXT = tfds.features.Text()


def vocabulary() -> SentencePieceVocabulary:
    """A vocabulary of 320 pieces and 100 sentinels, the last of which is 419."""
    return SentencePieceVocabulary(os.path.normpath(_TINY), extra_ids=100)


class TfdsTestCase(absltest.TestCase):
    """A test whose tasks read the datasets of `files` and `stored`, prepared once.

    Attributes:
      files: {"glue/sst2:2.0.0": {split: content of a TSV or JSON Lines file}}.
      stored: {"squad/v1.1:3.0.0": (features, {split: examples})}.
      data_dir: the TFDS folder that they are in.
    """

    files: Mapping[str, Mapping[str, str]] = {}
    stored: Mapping[str, tuple[Any, Mapping[str, Sequence[Any]]]] = {}
    data_dir: str

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tfds.disable_progress_bar()
        root = absltest.TEST_TMPDIR.value
        cls.data_dir = os.path.join(root, f"{cls.__module__}_{cls.__name__}_{os.getpid()}")
        os.makedirs(cls.data_dir)
        for name, contents in cls.files.items():
            for dataset in offline_tfds.parse(name):
                paths = {split: cls.write(dataset, split, c) for split, c in contents.items()}
                offline_tfds.make(dataset, paths, cls.data_dir)
        for name, (features, splits) in cls.stored.items():
            examples = {split: list(enumerate(rows)) for split, rows in splits.items()}
            features = tfds.features.FeaturesDict(features)
            offline_tfds.store(name, features, examples, cls.data_dir)
        seqio.set_tfds_data_dir_override(cls.data_dir)

    @classmethod
    def tearDownClass(cls):
        seqio.set_tfds_data_dir_override(None)
        super().tearDownClass()

    @classmethod
    def write(cls, dataset: offline_tfds.Dataset, split: str, content: str) -> str:
        extension = "jsonl" if content.startswith("{") else "tsv"
        name = f"{dataset.benchmark}_{dataset.config}_{split}.{extension}"
        path = os.path.join(cls.data_dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path

    def task(self, name: str) -> seqio.Task | seqio.Mixture:
        """The task with the tiny vocabulary."""
        task_table.register(name, vocabulary())
        return seqio.get_mixture_or_task(name)

    def examples(self, name: str, split: str = "train", **options) -> list[dict[str, Any]]:
        """What the task gives, in the order of its `idx` or else of its inputs."""
        lengths = options.pop("lengths", LENGTHS)
        options = {"shuffle": False, "seed": 0, **options}
        dataset = self.task(name).get_dataset(lengths, split, **options)
        return sorted(dataset.as_numpy_iterator(), key=_order)

    def texts(self, name: str, split: str = "train") -> list[tuple[str, str]]:
        """Its pairs of texts; the tokens are checked to be those of the texts and EOS."""
        pairs = []
        for example in self.examples(name, split):
            pair = [example[f"{key}_pretokenized"].decode() for key in ("inputs", "targets")]
            for key, text in zip(("inputs", "targets"), pair, strict=True):
                self.assertEqual(example[key].tolist(), [*vocabulary().encode(text), 1], text)
            pairs.append(tuple(pair))
        return pairs

    def measure(
        self, name: str, predictions: Sequence[Any], split: str = "validation"
    ) -> dict[str, Any]:
        """The metrics of predictions in the order of `examples`, as SeqIO computes them."""
        task, targets, outputs = self.task(name), [], []
        examples = self.examples(name, split)
        for example, prediction in zip(examples, predictions, strict=True):
            # The tiny vocabulary does not hold every text, so the targets are not decoded.
            text = example["targets_pretokenized"]
            text = text.decode() if isinstance(text, bytes) else ""
            targets.append(task.postprocess_fn(text, example=example, is_target=True))
            outputs.append(task.postprocess_fn(prediction, example=example, is_target=False))
        result: dict[str, Any] = {}
        for metric in [*task.predict_metric_fns, *task.score_metric_fns]:
            result |= metric(targets, outputs)
        return result


def _order(example: Mapping[str, Any]) -> Any:
    index = example.get("idx")
    if index is None:
        index = [example[key].tolist() for key in example if key.startswith("idx/")]
        return (index, example["inputs"].tolist())
    return (index.tolist() if hasattr(index, "tolist") else index, 0)
