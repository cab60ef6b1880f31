# SPDX-License-Identifier: Apache-2.0
"""The C++ tokenizer against the sentencepiece wheel, the same release as the C++ sources."""

import concurrent.futures
import gc
import itertools
import os
import pathlib
import sys
import threading

import hypothesis
import numpy as np
import pyarrow as pa
import sentencepiece
from absl.testing import absltest, parameterized
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from data_ops.tokenizer import tokenizer_module
from data_ops.tokenizer.testdata import tiny_model

_TESTDATA = pathlib.Path(__file__).parent / "testdata"
_TINY = (_TESTDATA / "tiny.model").read_bytes()
_SPACE = "\u2581"
_INT32_MAX = 2**31 - 1

# The options of a model that change how a text is cut.
_VARIANTS = {
    "tiny": lambda: _TINY,
    "nmt_nfkc": tiny_model.train,
    "nfkc_cf": lambda: tiny_model.train(normalization_rule_name="nmt_nfkc_cf", vocab_size=290),
    "identity": lambda: tiny_model.train(normalization_rule_name="identity"),
    "bpe": lambda: tiny_model.train(model_type="bpe"),
    "byte_fallback": lambda: tiny_model.train(byte_fallback=True, vocab_size=560),
    "pieces_across_words": lambda: tiny_model.train(split_by_whitespace=False),
    "spaces_kept": lambda: tiny_model.train(add_dummy_prefix=False, remove_extra_whitespaces=False),
    "space_as_suffix": lambda: tiny_model.train(treat_whitespace_as_suffix=True),
}


def _with_extra_ids(model: bytes, extra_ids: int) -> bytes:
    """What SeqIO does to a model."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    for i in reversed(range(extra_ids)):
        proto.pieces.add(
            piece=f"{_SPACE}<extra_id_{i}>",
            score=0.0,
            type=sentencepiece_model_pb2.ModelProto.SentencePiece.USER_DEFINED,
        )
    return proto.SerializeToString()


def _pair(model: bytes, extra_ids: int = 0, **options):
    """The tokenizer and the wheel's over one model."""
    return (
        tokenizer_module.Tokenizer(model, extra_ids=extra_ids, **options),
        sentencepiece.SentencePieceProcessor(model_proto=_with_extra_ids(model, extra_ids)),
    )


# Fragments where normalization, sentinels, white space or rounding decide.
_FRAGMENTS = st.sampled_from(
    ["the cat ", " sleeps", "incomprehensibilities", "<mask>", "<extra_id_0>", "<extra_id_7>ly"]
    + [" ", "  ", "\t", "\n", "\u00a0", "\u3000", _SPACE, "\0", "\x01", "\x7f", "\u200b", "\ufeff"]
    + ["\u00b4", "e\u0301", "\ufb01", "\uff21", "\u2126", "\u0344", "\U0001f600", "\ufdfa"]
    + ["-" * 70, "." * 33, "=" * 5, "a" * 90, "0" * 41, "\u0301" * 9, "?!" * 20]
)
_TEXTS = st.one_of(
    st.text(),
    st.binary(max_size=64),
    st.lists(st.one_of(_FRAGMENTS, st.text(max_size=4)), max_size=12).map("".join),
)
_FUZZ = hypothesis.settings(max_examples=100, deadline=None, derandomize=True, database=None)


def _rows(values: np.ndarray, row_splits: np.ndarray) -> list[list[int]]:
    return [values[a:b].tolist() for a, b in itertools.pairwise(row_splits)]


class OracleTest(parameterized.TestCase):
    """Ids and texts are the wheel's."""

    @parameterized.product(variant=list(_VARIANTS), extra_ids=[0, 10])
    def test_corpus(self, variant, extra_ids):
        ours, wheel = _pair(_VARIANTS[variant](), extra_ids)
        texts = (_TESTDATA / "corpus.txt").read_text("utf-8").splitlines()
        texts += ["Fill <extra_id_0> and <extra_id_1>.", " ".join(texts), "-" * 5000]
        ids = wheel.encode(texts)
        self.assertEqual(_rows(*ours.encode_batch(texts)), ids)
        self.assertEqual(ours.decode_batch(ids), wheel.decode(ids))

    @parameterized.parameters(*_VARIANTS)
    def test_fuzz(self, variant):
        ours, wheel = _pair(_VARIANTS[variant](), extra_ids=10)

        @_FUZZ
        @hypothesis.given(st.lists(_TEXTS, max_size=5))
        def check(texts):
            expected = [wheel.encode(text) for text in texts]
            self.assertEqual(_rows(*ours.encode_batch(texts)), expected)
            self.assertEqual([ours.encode(text) for text in texts], expected)
            self.assertEqual(ours.decode_batch(expected), [wheel.decode(ids) for ids in expected])

        check()

    @parameterized.parameters(*_VARIANTS)
    def test_decode_any_ids(self, variant):
        ours, wheel = _pair(_VARIANTS[variant](), extra_ids=10)

        @_FUZZ
        @hypothesis.given(st.lists(st.integers(0, ours.vocab_size - 1)))
        def check(ids):
            self.assertEqual(ours.decode(ids), wheel.decode(ids))

        check()

    @parameterized.product(variant=["tiny", "nmt_nfkc", "bpe"], extra_ids=[0, 10])
    def test_symbols(self, variant, extra_ids):
        ours, wheel = _pair(_VARIANTS[variant](), extra_ids)
        self.assertEqual(ours.vocab_size, wheel.vocab_size())
        self.assertEqual(ours.extra_ids, extra_ids)
        self.assertEqual(
            (ours.bos_id, ours.eos_id, ours.pad_id, ours.unk_id),
            (wheel.bos_id(), wheel.eos_id(), wheel.pad_id(), wheel.unk_id()),
        )
        for i in range(ours.vocab_size):
            piece = wheel.id_to_piece(i)
            self.assertEqual(ours.id_to_piece(i), piece)
            self.assertEqual(ours.piece_to_id(piece), i)
            self.assertEqual(ours.piece_to_id(piece.encode()), i)
        self.assertEqual(ours.piece_to_id("no such piece"), wheel.unk_id())
        self.assertEqual(ours.serialized_model(), wheel.serialized_model_proto())

    def test_t5_vocabulary(self):
        shared = os.environ.get("PROMPT_TUNING_SHARED_DATA") or (
            pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
        )
        path = pathlib.Path(shared) / "t5_vocab" / "sentencepiece.model"
        if not path.exists():
            self.skipTest(f"the T5 vocabulary is not at {path}; set PROMPT_TUNING_SHARED_DATA.")
        ours, wheel = _pair(path.read_bytes(), extra_ids=100)
        self.assertEqual(ours.encode("Hello <extra_id_0> world"), [8774, 32099, 296])

        @hypothesis.settings(_FUZZ, max_examples=300)
        @hypothesis.given(_TEXTS)
        def check(text):
            ids = wheel.encode(text)
            self.assertEqual(ours.encode(text), ids)
            self.assertEqual(ours.decode(ids), wheel.decode(ids))

        check()


class BatchTest(parameterized.TestCase):
    """Shapes, dtypes, padding and memory of the batch interface."""

    def setUp(self):
        super().setUp()
        self.tokenizer = tokenizer_module.Tokenizer(_TINY)
        self.texts = (_TESTDATA / "corpus.txt").read_text("utf-8").splitlines()

    def test_ragged_arrays(self):
        values, row_splits = self.tokenizer.encode_batch(self.texts)
        self.assertEqual((values.dtype, row_splits.dtype), (np.int32, np.int64))
        self.assertEqual(row_splits.shape, (len(self.texts) + 1,))
        self.assertEqual((row_splits[0], row_splits[-1]), (0, values.size))

    def test_empty_batch_and_empty_texts(self):
        values, row_splits = self.tokenizer.encode_batch([])
        self.assertEqual((values.tolist(), row_splits.tolist()), ([], [0]))
        self.assertEqual(_rows(*self.tokenizer.encode_batch(["", b"", "\x01"])), [[], [], []])
        self.assertEqual(self.tokenizer.encode_padded([], 4).shape, (0, 4))
        self.assertEqual(self.tokenizer.encode_padded([""], 3).tolist(), [[1, 0, 0]])
        self.assertEqual(self.tokenizer.decode([]), "")
        self.assertEqual(self.tokenizer.decode_batch([]), [])

    @parameterized.product(max_len=[1, 2, 7, 500], pad=[0, -1], eos=[1, None, 5])
    def test_padded(self, max_len, pad, eos):
        ids = self.tokenizer.encode_padded(self.texts, max_len, pad=pad, eos=eos)
        self.assertEqual((ids.shape, ids.dtype), ((len(self.texts), max_len), np.int32))
        for row, text in zip(ids.tolist(), self.texts, strict=True):
            expected = self.tokenizer.encode(text)[: max_len - (eos is not None)]
            expected += [] if eos is None else [eos]
            self.assertEqual(row, expected + [pad] * (max_len - len(expected)))

    @parameterized.parameters(
        lambda texts: tuple(texts),
        lambda texts: [text.encode() for text in texts],
        lambda texts: np.array(texts, dtype=object),
        lambda texts: np.array(texts),
        lambda texts: (text for text in texts),
    )
    def test_kinds_of_sequences(self, convert):
        expected = self.tokenizer.encode_padded(self.texts, 16)
        actual = self.tokenizer.encode_padded(convert(self.texts), 16)
        np.testing.assert_array_equal(actual, expected)

    def test_rows_of_arrays_decode(self):
        ids = self.tokenizer.encode_padded(self.texts, 500)
        expected = [self.tokenizer.decode(row) for row in ids.tolist()]
        self.assertEqual(self.tokenizer.decode_batch(ids), expected)
        self.assertEqual(self.tokenizer.decode_batch(np.asfortranarray(ids)), expected)
        self.assertEqual(self.tokenizer.decode_batch(ids.astype(np.int64)), expected)
        self.assertEqual(self.tokenizer.decode_batch(list(ids)), expected)
        self.assertEqual(self.tokenizer.decode(ids[0]), expected[0])

    def test_ragged_rows_decode(self):
        values, row_splits = self.tokenizer.encode_batch(self.texts)
        expected = [self.tokenizer.decode(row) for row in _rows(values, row_splits)]
        self.assertEqual(self.tokenizer.decode_ragged(values, row_splits), expected)
        self.assertEqual(
            self.tokenizer.decode_ragged(values.astype(np.int64), row_splits), expected
        )
        self.assertEqual(self.tokenizer.decode_ragged(np.array([]), np.array([0])), [])

    @parameterized.parameters("string", "large_string", "binary", "large_binary")
    def test_arrow_arrays(self, kind):
        texts = ["not seen", "", "caf\u00e9", *self.texts]
        # A slice begins inside of its buffers.
        array = pa.array(texts, getattr(pa, kind)())[1:]
        for ours, theirs in zip(
            self.tokenizer.encode_batch(array), self.tokenizer.encode_batch(texts[1:]), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(
            self.tokenizer.encode_padded(array, 9), self.tokenizer.encode_padded(texts[1:], 9)
        )

    @parameterized.parameters(np.int32, np.int64)
    def test_numpy_buffers(self, dtype):
        encoded = [text.encode() for text in ["caf\u00e9", "", *self.texts]]
        data = np.frombuffer(b"not seen" + b"".join(encoded), np.uint8)
        offsets = 8 + np.cumsum([0, *map(len, encoded)]).astype(dtype)
        for ours, theirs in zip(
            self.tokenizer.encode_batch((data, offsets)),
            self.tokenizer.encode_batch(encoded),
            strict=True,
        ):
            np.testing.assert_array_equal(ours, theirs)
        none = self.tokenizer.encode_padded((data, offsets[:1]), 4)
        self.assertEqual(none.shape, (0, 4))

    def test_threads_do_not_change_the_ids(self):
        texts = self.texts * 100 + ["=" * 9000, ""] * 3
        one, many = (tokenizer_module.Tokenizer(_TINY, num_threads=n) for n in (1, 7))
        self.assertEqual(_rows(*one.encode_batch(texts)), _rows(*many.encode_batch(texts)))
        np.testing.assert_array_equal(one.encode_padded(texts, 40), many.encode_padded(texts, 40))

    def test_arrays_outlive_the_tokenizer(self):
        tokenizer = tokenizer_module.Tokenizer(_TINY)
        expected = [tokenizer.encode(text) for text in self.texts]
        values, row_splits = tokenizer.encode_batch(self.texts)
        del tokenizer
        gc.collect()
        self.assertEqual(_rows(values, row_splits), expected)


class ThreadTest(absltest.TestCase):
    def test_shared_by_python_threads(self):
        tokenizer = tokenizer_module.Tokenizer(_TINY, extra_ids=10)
        texts = (_TESTDATA / "corpus.txt").read_text("utf-8").splitlines() * 20
        expected = _rows(*tokenizer.encode_batch(texts))

        def work(_):
            # Loading beside encoding: the two must not disturb each other.
            own = tokenizer_module.Tokenizer(_TINY, extra_ids=10)
            return [_rows(*each.encode_batch(texts)) for each in (tokenizer, own)]

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for result in pool.map(work, range(8)):
                self.assertEqual(result, [expected, expected])

    def test_gil_is_released(self):
        tokenizer = tokenizer_module.Tokenizer(_TINY, num_threads=1)
        texts = ["The film was good, the popcorn was better. " * 20] * 1000
        may_run, ran = threading.Lock(), []
        may_run.acquire()
        other = threading.Thread(target=lambda: (may_run.acquire(), ran.append(True)))
        other.start()
        interval = sys.getswitchinterval()
        # So long that the other thread runs only if this one lets go of the GIL by itself.
        sys.setswitchinterval(1000)
        try:
            may_run.release()
            before = list(ran)
            # One call is over in a few milliseconds; a busy machine may not get to the other thread.
            for _ in range(1000):
                tokenizer.encode_batch(texts)
                if after := list(ran):
                    break
        finally:
            sys.setswitchinterval(interval)
        other.join()
        self.assertEqual((before, after), ([], [True]))


class ErrorTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.tokenizer = tokenizer_module.Tokenizer(_TINY)

    @parameterized.named_parameters(
        ("empty", b"", r"is empty \(0 bytes\); pass the content of a \.model file"),
        ("text", b"hello", "the 5 bytes given are not a SentencePiece model"),
        ("zeros", bytes(1000), "not a SentencePiece model"),
        ("half", _TINY[: len(_TINY) // 2], "cut off or of another kind"),
        ("all_but_one_byte", _TINY[:-1], "cut off or of another kind"),
        ("twice", _TINY + _TINY, "cannot be used: .* already defined"),
    )
    def test_broken_model(self, model, message):
        with self.assertRaisesRegex(ValueError, message):
            tokenizer_module.Tokenizer(model)

    def test_cut_between_two_pieces(self):
        proto = sentencepiece_model_pb2.ModelProto.FromString(_TINY)
        proto.ClearField("normalizer_spec")
        proto.ClearField("trainer_spec")
        with self.assertRaisesRegex(ValueError, "has 320 pieces and no rules of normalization"):
            tokenizer_module.Tokenizer(proto.SerializeToString())

    def test_model_is_bytes(self):
        with self.assertRaises(TypeError):
            tokenizer_module.Tokenizer("tiny.model")

    def test_options(self):
        with self.assertRaisesRegex(ValueError, "extra_ids is -3; it must be 0 or more"):
            tokenizer_module.Tokenizer(_TINY, extra_ids=-3)
        with self.assertRaisesRegex(ValueError, "num_threads is -1; it must be positive, or 0"):
            tokenizer_module.Tokenizer(_TINY, num_threads=-1)
        with self.assertRaisesRegex(ValueError, "already holds <extra_id_0>; set extra_ids to 0"):
            tokenizer_module.Tokenizer(_with_extra_ids(_TINY, 4), extra_ids=100)

    def test_lone_surrogate(self):
        for call in (self.tokenizer.encode, lambda text: self.tokenizer.encode_batch(["a", text])):
            with self.assertRaises(UnicodeEncodeError):
                call("good \ud800 bad")
        self.assertTrue(issubclass(UnicodeEncodeError, ValueError))

    def test_texts_of_other_types(self):
        with self.assertRaisesRegex(TypeError, r"texts\[1\] is of type int; str or bytes"):
            self.tokenizer.encode_batch(["a", 3])
        with self.assertRaisesRegex(TypeError, "text is of type NoneType"):
            self.tokenizer.encode(None)
        for texts in ("abc", b"abc"):
            with self.assertRaisesRegex(TypeError, "texts is a single"):
                self.tokenizer.encode_padded(texts, 4)
        with self.assertRaises(TypeError):
            self.tokenizer.encode_batch(3)

    def test_a_list_of_texts_is_only_borrowed(self):
        texts = [f"text number {i}" for i in range(40)]
        for kept in (list, tuple, iter):
            counts = [sys.getrefcount(text) for text in texts]
            self.tokenizer.encode_batch(kept(texts))
            with self.assertRaises(TypeError):
                self.tokenizer.encode_batch(kept([*texts[:30], 3, *texts[30:]]))
            self.assertEqual([sys.getrefcount(text) for text in texts], counts)

    def test_arrow_arrays_of_other_kinds(self):
        with self.assertRaisesRegex(
            TypeError, "Arrow array of format 'i'; string, binary, .* cast"
        ):
            self.tokenizer.encode_batch(pa.array([1, 2], pa.int32()))
        with self.assertRaisesRegex(ValueError, r"texts\[1\] is null; fill nulls"):
            self.tokenizer.encode_batch(pa.array(["x", "a", None])[1:])

    def test_numpy_buffers_that_do_not_fit(self):
        data = np.zeros(4, np.uint8)
        for offsets in ([], [0, 5], [-1, 2], [3, 2]):
            with self.assertRaisesRegex(ValueError, "offsets .* at most the number of bytes, 4"):
                self.tokenizer.encode_batch((data, np.array(offsets, np.int64)))
        for array, offsets in ((data[::2], [0, 1]), (np.zeros(4), [0, 1]), (data, [0.0, 1.0])):
            with self.assertRaisesRegex(TypeError, "pair of arrays; the bytes .* contiguous uint8"):
                self.tokenizer.encode_batch((array, np.array(offsets)))

    def test_row_splits(self):
        ids = np.arange(4, dtype=np.int32)
        for row_splits in ([], [0], [1, 4], [0, 3, 2, 4], [0, 5]):
            with self.assertRaisesRegex(ValueError, "rise from 0 to the number of values, 4"):
                self.tokenizer.decode_ragged(ids, np.array(row_splits, np.int64))
        with self.assertRaisesRegex(TypeError, "integer arrays of one dimension"):
            self.tokenizer.decode_ragged(np.array([1.5]), np.array([0, 1]))

    @parameterized.parameters(
        (0, 1, "max_len is 0; it must be at least 1"),
        (-5, None, "max_len is -5; it must be at least 1"),
        (2**40, None, "max_len is 1099511627776; .* fit in 32 bits"),
        (4, -1, "eos is -1; it must be an id of the vocabulary, 0 to 319"),
        (4, 320, "eos is 320"),
    )
    def test_layout(self, max_len, eos, message):
        with self.assertRaisesRegex(ValueError, message):
            self.tokenizer.encode_padded(["a"], max_len, eos=eos)

    @parameterized.parameters(-1, 320, _INT32_MAX)
    def test_ids_outside(self, i):
        for call in (
            lambda: self.tokenizer.decode([5, i]),
            lambda: self.tokenizer.decode_batch([[5], [5, i]]),
            lambda: self.tokenizer.decode_batch(np.array([[5], [i]])),
            lambda: self.tokenizer.decode_ragged(np.array([5, i]), np.array([0, 2])),
            lambda: self.tokenizer.id_to_piece(i),
        ):
            with self.assertRaisesRegex(IndexError, f"id {i} is not in .* ids are 0 to 319"):
                call()

    def test_ids_that_are_no_integers(self):
        for ids in (["a"], [1.5], [2**40], 7, "abc"):
            with self.assertRaises(TypeError):
                self.tokenizer.decode(ids)


class TinyModelTest(absltest.TestCase):
    def test_committed_model_is_what_the_script_trains(self):
        self.assertEqual(tiny_model.train_tiny(), _TINY)


if __name__ == "__main__":
    absltest.main()
