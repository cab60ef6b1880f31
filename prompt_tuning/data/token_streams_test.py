# SPDX-License-Identifier: Apache-2.0
import dataclasses
import os

import numpy as np
import seqio
import tensorflow as tf
from absl.testing import absltest, parameterized

from prompt_tuning.data import fixture_tasks, token_streams

_LENGTHS = {"inputs": 16, "targets": 4}
_OPTIONS = {"split": "train", "batch_size": 3, "shuffle": True, "num_epochs": 3}


def _text(seed=0, **options):
    task = fixture_tasks.register_ours()
    return token_streams.TextTokens(task, seed, **{**_OPTIONS, "lengths": _LENGTHS, **options})


def _seqio(task=None, seed=0, **options):
    task = task or fixture_tasks.register_plain()
    options = {**_OPTIONS, "lengths": _LENGTHS, "use_cached": False, **options}
    return token_streams.SeqioTokens(task, seed, **options)


def _rest(stream) -> list[tuple[np.ndarray, np.ndarray]]:
    batches = []
    while True:
        try:
            batches.append(next(stream))
        except StopIteration:
            return batches


def _python_step(dataset):
    """A preprocessor that hides Python code in the graph, which TensorFlow cannot checkpoint."""

    def step(row):
        inputs = tf.numpy_function(lambda x: x, [row["inputs"]], tf.string)
        return {**row, "inputs": tf.ensure_shape(inputs, [])}

    return dataset.map(step)


class TokenStreamsTest(parameterized.TestCase):
    def _assert_same(self, got, expected):
        self.assertLen(got, len(expected))
        for a, b in zip(got, expected, strict=True):
            for x, y in zip(a, b, strict=True):
                np.testing.assert_array_equal(x, y)

    def _path(self) -> str:
        return os.path.join(self.create_tempdir().full_path, "position")

    @parameterized.product(make=[_text, _seqio], seen=[0, 1, 4, 7])
    def test_restored_stream_goes_on_as_the_first_would(self, make, seen):
        stream, path = make(), self._path()
        for _ in range(seen):
            next(stream)
        position = stream.save(path)
        expected = _rest(stream)
        other = make(seed=5)
        next(other)
        other.restore(path, position, 0)
        self._assert_same(_rest(other), expected)
        self.assertLen(expected, 7 - seen)

    @parameterized.parameters(_text, _seqio)
    def test_every_epoch_has_every_example_in_another_order(self, make):
        rows = [tuple(row) for batch in _rest(make(batch_size=1)) for row in batch[0].tolist()]
        rows = [tuple(np.trim_zeros(row, "b")) for row in rows]
        epochs = [rows[i : i + 7] for i in (0, 7, 14)]
        if make is _seqio:
            # SeqIO's window may carry examples into the next epoch.
            self.assertCountEqual(rows, sorted(rows)[::3] * 3)
            return
        self.assertCountEqual(epochs[0], epochs[1])
        self.assertLen({tuple(epoch) for epoch in epochs}, 3)

    def test_python_code_in_a_task_is_counted_instead(self):
        task = fixture_tasks.register_plain(preprocessors=[_python_step])
        # The window of a shuffle would have read everything before the first batch.
        stream, path = _seqio(task, shuffle=False), self._path()
        next(stream)
        position = stream.save(path)
        self.assertEqual(position, {"batch": 1, "has_files": False})
        self.assertEmpty(os.listdir(os.path.dirname(path)))
        expected = _rest(stream)
        other = _seqio(task, shuffle=False)
        other.restore(path, position, 0)
        self._assert_same(_rest(other), expected)

    def test_missing_files(self):
        stream, path = _seqio(), self._path()
        position = stream.save(path)
        os.remove(f"{path}.index")
        with self.assertRaisesRegex(FileNotFoundError, "position.index"):
            stream.restore(path, position, 0)

    def test_other_examples(self):
        position = _text().save("")
        pairs = [*fixture_tasks.PAIRS[:-1], ("changed", "positive")]
        task = fixture_tasks.register_ours(pairs=pairs)
        stream = token_streams.TextTokens(task, 0, **_OPTIONS, lengths=_LENGTHS)
        with self.assertRaisesRegex(ValueError, "saved for 7 other examples than these 7"):
            stream.restore("path", position, 0)

    def test_measured_lengths(self):
        stream = _text(lengths=None)
        lengths = {"inputs": 0, "targets": 0}
        task = fixture_tasks.register_plain()
        for row in task.get_dataset(None, "train", shuffle=False).as_numpy_iterator():
            lengths = {name: max(lengths[name], len(row[name])) for name in lengths}
        self.assertEqual(stream.lengths, lengths)

    def test_a_mixture(self):
        fixture_tasks.register_plain("one")
        fixture_tasks.register_ours("two")
        seqio.MixtureRegistry.remove("both")
        mixture = seqio.MixtureRegistry.add("both", ["one", "two"], default_rate=1.0)
        inputs, targets = next(_seqio(mixture))
        self.assertEqual((inputs.shape, targets.shape), ((3, 16), (3, 4)))

    def test_tasks_that_do_not_fit(self):
        with self.assertRaisesRegex(ValueError, "'plain' has no split 'test'; it has train"):
            _seqio(split="test")
        with self.assertRaisesRegex(ValueError, "'plain' needs lengths.*--inputs_length"):
            _seqio(lengths=None)
        task = fixture_tasks.register_plain()
        optional = dataclasses.replace(task.output_features["inputs"], required=False)
        language_model = task.replace(
            name="language_model",
            output_features={**task.output_features, "inputs": optional},
            preprocessors=[
                lambda dataset: dataset.map(lambda row: {"targets": row["targets"]}),
                *task.preprocessors,
            ],
        )
        with self.assertRaisesRegex(ValueError, "'language_model' has None as 'inputs'"):
            _seqio(language_model)


if __name__ == "__main__":
    absltest.main()
