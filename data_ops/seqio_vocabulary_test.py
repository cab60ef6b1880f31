# SPDX-License-Identifier: Apache-2.0
"""The tokenizer inside SeqIO, against SeqIO's own vocabulary (tensorflow_text)."""

import copy
import os
import pathlib
import pickle

import hypothesis
import numpy as np
import seqio
import tensorflow as tf
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from data_ops import vocabulary
from data_ops.tokenizer.testdata import tiny_model

_FOLDER = pathlib.Path(__file__).parent / "tokenizer" / "testdata"
_MODEL = str(_FOLDER / "tiny.model")
_EXTRA_IDS = 10
_CORPUS = (_FOLDER / "corpus.txt").read_text("utf-8").splitlines()
_TEXTS = _CORPUS[:6] + ["", "a\0b", "Fill <extra_id_0> and <extra_id_9>.", "ab\ufb01\u3000c"]
_TEXTS += ["-" * 99]


def _pair(path: str = _MODEL, extra_ids: int = _EXTRA_IDS):
    """Ours and SeqIO's vocabulary of one file."""
    ours = vocabulary.SentencePieceVocabulary(path, extra_ids).as_seqio()
    return ours, seqio.SentencePieceVocabulary(path, extra_ids)


def _listed(value):
    """Any tensor as nested lists, with where it is ragged."""
    if isinstance(value, tf.RaggedTensor):
        return value.ragged_rank, value.dtype, value.to_list()
    return 0, value.dtype, np.asarray(value).tolist()


class SeqioVocabularyTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.ours, self.seqios = _pair()

    def test_is_a_seqio_vocabulary(self):
        self.assertIsInstance(self.ours, seqio.Vocabulary)
        self.assertIsInstance(self.ours, seqio.SentencePieceVocabulary)
        for name in (
            "vocab_size extra_ids pad_id eos_id bos_id unk_id sp_model sentencepiece_model_file"
        ).split():
            self.assertEqual(getattr(self.ours, name), getattr(self.seqios, name), name)
        self.assertIn("tiny.model", str(self.ours))

    def test_eager_calls(self):
        for text in _TEXTS:
            ids = self.seqios.encode(text)
            self.assertEqual(self.ours.encode(text), ids)
            for more in (ids, [*ids, 1, 7], [*ids, 330, 331, 5], np.array(ids, np.int32)):
                self.assertEqual(self.ours.decode(more), self.seqios.decode(more))
        ids = tf.constant(self.seqios.encode(_TEXTS[0]))
        self.assertEqual(self.ours.decode(ids), _TEXTS[0])

    @parameterized.named_parameters(
        ("scalar", lambda: tf.constant(_TEXTS[0])),
        ("empty_scalar", lambda: tf.constant("")),
        ("vector", lambda: tf.constant(_TEXTS)),
        ("empty_vector", lambda: tf.constant([], tf.string)),
        ("matrix", lambda: tf.constant([_TEXTS[:3], _TEXTS[3:6]])),
        ("cube", lambda: tf.reshape(tf.constant(_TEXTS[:8]), [2, 2, 2])),
        ("ragged", lambda: tf.ragged.constant([_TEXTS[:3], [], _TEXTS[3:4]])),
        ("ragged_twice", lambda: tf.ragged.constant([[_TEXTS[:2], []], [_TEXTS[2:5]]])),
        ("invalid_utf8", lambda: tf.constant([b"\xff a", b"\xed\xa0\x80", b"ab\xc3"])),
    )
    def test_encode_tf(self, make):
        expected = _listed(self.seqios.encode_tf(make()))
        self.assertEqual(_listed(self.ours.encode_tf(make())), expected)
        eager = vocabulary.SentencePieceVocabulary(_MODEL, _EXTRA_IDS)
        self.assertEqual(_listed(eager.encode_tf(make())), expected)

    @parameterized.named_parameters(
        ("vector", lambda: tf.constant([41, 25, 1, 30])),
        ("empty_vector", lambda: tf.constant([], tf.int32)),
        ("no_eos", lambda: tf.constant([41, 25, 30])),
        ("beyond_the_vocabulary", lambda: tf.constant([41, 330, 500, 25])),
        ("matrix", lambda: tf.constant([[41, 25, 1, 30], [1, 41, 41, 41], [9, 9, 2, 0]])),
        ("matrix_without_rows", lambda: tf.zeros([0, 4], tf.int32)),
        ("matrix_without_columns", lambda: tf.zeros([3, 0], tf.int32)),
        ("ragged", lambda: tf.ragged.constant([[41, 25, 1, 30], [], [9]])),
        ("ragged_twice", lambda: tf.ragged.constant([[[41, 25], [9]], [], [[]]])),
    )
    def test_decode_tf(self, make):
        expected = _listed(self.seqios.decode_tf(make()))
        self.assertEqual(_listed(self.ours.decode_tf(make())), expected)
        eager = vocabulary.SentencePieceVocabulary(_MODEL, _EXTRA_IDS)
        self.assertEqual(_listed(eager.decode_tf(make())), expected)

    def test_decode_tf_of_a_cube_is_dense(self):
        ids = tf.reshape(tf.range(3, 27), [2, 3, 4])
        texts = self.ours.decode_tf(ids)
        self.assertEqual(texts.shape, (2, 3))
        for i in range(2):
            self.assertEqual(_listed(texts[i]), _listed(self.seqios.decode_tf(ids[i])))

    def test_decode_tf_keeps_nuls(self):
        # No piece may hold NUL itself, but the pieces of single bytes can spell it.
        model = tiny_model.train(byte_fallback=True, vocab_size=560)
        ours, seqios = _pair(self.create_tempfile(content=model, mode="wb").full_path)
        ids = [ours.tokenizer.piece_to_id(piece) for piece in ("a", "<0x00>", "<0x00>")]
        self.assertEqual(ours.decode_tf(tf.constant(ids)), b"a\0\0")
        self.assertEqual(seqios.decode_tf(tf.constant(ids)), b"a\0\0")

    def test_unknown_rank(self):
        @tf.function(input_signature=[tf.TensorSpec(None, tf.string)])
        def encode(texts):
            return self.ours.encode_tf(texts)

        with self.assertRaisesRegex(ValueError, "unknown rank; set their shape first"):
            encode(tf.constant("a"))

    @parameterized.parameters(
        lambda dataset: dataset,
        lambda dataset: dataset.batch(4),
        lambda dataset: dataset.batch(4, drop_remainder=True),
        lambda dataset: dataset.ragged_batch(2).ragged_batch(2),
    )
    def test_datasets(self, batched):
        dataset = batched(tf.data.Dataset.from_tensor_slices(_TEXTS))
        ours, theirs = (dataset.map(each.encode_tf) for each in (self.ours, self.seqios))
        self.assertEqual(ours.element_spec, theirs.element_spec)
        for left, right in zip(ours, theirs, strict=True):
            self.assertEqual(_listed(left), _listed(right))

    def test_iterators_are_checkpointable(self):
        dataset = tf.data.Dataset.from_tensor_slices(_TEXTS).map(self.ours.encode_tf)
        iterator = iter(dataset)
        for _ in range(3):
            next(iterator)
        prefix = os.path.join(self.create_tempdir().full_path, "position")
        path = tf.train.Checkpoint(iterator=iterator).write(prefix)
        rest = [row.numpy().tolist() for row in iterator]
        again = iter(dataset)
        tf.train.Checkpoint(iterator=again).read(path)
        self.assertEqual([row.numpy().tolist() for row in again], rest)
        self.assertLen(rest, len(_TEXTS) - 3)


class IdentityTest(absltest.TestCase):
    def test_equality_with_every_class_of_vocabulary(self):
        ours, theirs = _pair()
        eager = vocabulary.SentencePieceVocabulary(_MODEL, _EXTRA_IDS)
        for left, right in ((ours, theirs), (theirs, ours), (ours, eager), (eager, ours)):
            self.assertEqual(left, right)
        self.assertEqual(eager, theirs)
        self.assertEqual(hash(ours), hash(eager))
        self.assertEqual(ours, _pair()[0])

    def test_other_extra_ids_differ(self):
        ours, theirs = _pair()
        fewer, their_fewer = _pair(extra_ids=3)
        eager = vocabulary.SentencePieceVocabulary(_MODEL, 3)
        for left, right in ((ours, their_fewer), (their_fewer, ours), (fewer, ours), (eager, ours)):
            self.assertNotEqual(left, right)
        self.assertNotEqual(eager, theirs)
        self.assertNotEqual(ours, seqio.ByteVocabulary(_EXTRA_IDS))

    def test_features_compare(self):
        ours, theirs = _pair()
        self.assertEqual(seqio.Feature(ours), seqio.Feature(theirs))
        self.assertEqual(seqio.Feature(theirs), seqio.Feature(ours))

    def test_pickle_and_copy(self):
        ours, _ = _pair()
        ours.load_model()
        for twin in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
            self.assertEqual(twin, ours)
            self.assertEqual(twin.encode(_TEXTS[0]), ours.encode(_TEXTS[0]))


class TaskTest(parameterized.TestCase):
    """A whole SeqIO task gives the same features with either vocabulary."""

    @parameterized.parameters(1, 2, 12, 200)
    def test_task(self, length):
        rows = []
        for name, vocab in zip(("ours", "theirs"), _pair(), strict=True):
            features = {key: seqio.Feature(vocab, add_eos=True) for key in ("inputs", "targets")}
            task = seqio.Task(
                f"seqio_vocabulary_test_{name}_{length}",
                source=seqio.FunctionDataSource(_dataset, splits=["train"]),
                preprocessors=[
                    seqio.preprocessors.tokenize,
                    seqio.preprocessors.append_eos_after_trim,
                ],
                output_features=features,
            )
            lengths = {"inputs": length, "targets": length}
            dataset = task.get_dataset(lengths, "train", shuffle=False).as_numpy_iterator()
            rows.append([{key: row[key].tolist() for key in features} for row in dataset])
        self.assertEqual(rows[0], rows[1])
        self.assertLen(rows[0], len(_CORPUS))

        # And the batch interface pads to what append_eos_after_trim makes of each text.
        tokenizer = vocabulary.SentencePieceVocabulary(_MODEL, _EXTRA_IDS).tokenizer
        padded = tokenizer.encode_padded(_CORPUS, length)
        expected = [row["inputs"] + [0] * (length - len(row["inputs"])) for row in rows[1]]
        self.assertEqual(padded.tolist(), expected)


class FuzzTest(absltest.TestCase):
    def _check(self, path: str, extra_ids: int):
        ours, theirs = _pair(path, extra_ids)
        # SeqIO makes a tokenizer of its own at every call, which is slow.
        tf_tokenizer = theirs.tf_tokenizer

        @hypothesis.settings(max_examples=30, deadline=None, derandomize=True, database=None)
        @hypothesis.given(
            st.lists(
                st.one_of(st.text(), st.lists(st.sampled_from(_TEXTS), max_size=3).map("".join)),
                min_size=1,
                max_size=12,
            )
        )
        def check(texts):
            ids = tf_tokenizer.tokenize(tf.constant(texts))
            self.assertEqual(_listed(ours.encode_tf(tf.constant(texts))), _listed(ids))
            self.assertEqual(_listed(ours.decode_tf(ids)), _listed(tf_tokenizer.detokenize(ids)))

        check()

    def test_tiny_vocabulary(self):
        self._check(_MODEL, _EXTRA_IDS)

    def test_t5_vocabulary(self):
        shared = os.environ.get("PROMPT_TUNING_SHARED_DATA") or (
            pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
        )
        path = pathlib.Path(shared) / "t5_vocab" / "sentencepiece.model"
        if not path.exists():
            self.skipTest(f"the T5 vocabulary is not at {path}; set PROMPT_TUNING_SHARED_DATA.")
        self._check(str(path), 100)


def _dataset(split, shuffle_files, seed=None):
    del split, shuffle_files, seed
    return tf.data.Dataset.from_tensor_slices({"inputs": _CORPUS, "targets": _CORPUS[::-1]})


if __name__ == "__main__":
    absltest.main()
