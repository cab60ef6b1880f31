# SPDX-License-Identifier: Apache-2.0
"""What the exact encoder promises beyond the ids of one wheel: modes, semantics, offsets, checks."""

import json
import pathlib
import threading
import time

import hypothesis
import numpy as np
import sentencepiece
from absl.testing import absltest, parameterized
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from data_ops.tokenizer import tokenizer_module
from data_ops.tokenizer.testdata import tiny_model

_TESTDATA = pathlib.Path(__file__).parent / "testdata"
_TINY = (_TESTDATA / "tiny.model").read_bytes()
_FUZZ = hypothesis.settings(max_examples=200, deadline=None, derandomize=True, database=None)
_HARD = st.sampled_from(
    [
        "the cat",
        "-" * 9,
        "....",
        "e" * 20,
        " ",
        "\u00a0",
        "\u2581",
        "\0",
        "<mask>",
        "\u4e2d",
        "\u0301",
    ]
)
_TEXTS = st.lists(st.one_of(_HARD, st.text(max_size=6)), max_size=15).map("".join)


def _changed(change) -> bytes:
    proto = sentencepiece_model_pb2.ModelProto.FromString(_TINY)
    change(proto)
    return proto.SerializeToString()


def _add_piece(piece: str, kind: str = "NORMAL", score: float = -3.0):
    kinds = sentencepiece_model_pb2.ModelProto.SentencePiece
    return lambda proto: proto.pieces.add(piece=piece, type=kinds.Type.Value(kind), score=score)


class ExactModeTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("tiny", lambda: _TINY, "word_cache", "but for rounding"),
        ("nmt_nfkc", tiny_model.train, "word_cache", "but for rounding"),
        ("bpe", lambda: tiny_model.train(model_type="bpe"), "library", "of type BPE"),
        (
            "bytes",
            lambda: tiny_model.train(byte_fallback=True, vocab_size=560),
            "library",
            "falls back to bytes",
        ),
        (
            "spaces_kept",
            lambda: tiny_model.train(remove_extra_whitespaces=False),
            "full_viterbi",
            "extra white space is kept",
        ),
        (
            "no_prefix",
            lambda: tiny_model.train(add_dummy_prefix=False),
            "full_viterbi",
            "no space is put before",
        ),
        (
            "suffix",
            lambda: tiny_model.train(treat_whitespace_as_suffix=True),
            "full_viterbi",
            "white space ends words",
        ),
        (
            "across_words",
            lambda: _changed(_add_piece("\u2581the\u2581cat")),
            "full_viterbi",
            "piece 320 reaches over white space",
        ),
        (
            "symbol_with_space",
            lambda: _changed(_add_piece("a b", "USER_DEFINED")),
            "full_viterbi",
            "user-defined symbol reaches over",
        ),
        (
            "nan",
            lambda: _changed(_add_piece("zzz", score=float("nan"))),
            "library",
            "piece 320 has a score that is no log probability",
        ),
    )
    def test_mode(self, model, mode, reason):
        tokenizer = tokenizer_module.Tokenizer(model())
        self.assertEqual(tokenizer.exact_mode, mode)
        self.assertIn(reason, tokenizer.exact_mode_reason)

    @parameterized.parameters(
        _add_piece("\u2581the\u2581cat"),
        _add_piece("a b", "USER_DEFINED"),
        _add_piece("\u2581cat\u2581", "USER_DEFINED"),
        _add_piece("tq", "USER_DEFINED"),
        _add_piece("the ca", "UNUSED"),
        _add_piece("\u2581thec", "UNUSED"),
    )
    def test_odd_pieces_encode_as_with_the_wheel(self, change):
        model = _changed(change)
        ours = tokenizer_module.Tokenizer(model, cache_mb=0)
        wheel = sentencepiece.SentencePieceProcessor(model_proto=model)

        @_FUZZ
        @hypothesis.given(_TEXTS)
        def check(text):
            self.assertEqual(ours.encode(text), wheel.encode(text))

        check()


class SemanticsTest(parameterized.TestCase):
    @parameterized.product(semantics=["classic", "0.2.3"], cache_mb=[0, 1])
    def test_ids_are_those_of_the_release(self, semantics, cache_mb):
        tokenizer = tokenizer_module.Tokenizer(_TINY, semantics=semantics, cache_mb=cache_mb)
        rows = json.loads((_TESTDATA / "semantics.json").read_text())
        self.assertNotEmpty(rows)
        for row in rows:
            self.assertNotEqual(row["classic"], row["0.2.3"])
            self.assertEqual(tokenizer.encode(row["text"]), row[semantics])

    def test_only_the_built_in_library_knows_bpe(self):
        model = tiny_model.train(model_type="bpe")
        with self.assertRaisesRegex(
            ValueError, "type BPE.*the one built in is 0.2.1; use 'classic'"
        ):
            tokenizer_module.Tokenizer(model, semantics="0.2.3")

    @parameterized.parameters(
        ({"semantics": "0.2.2"}, "semantics is '0.2.2'; 'classic' .* or '0.2.3'"),
        ({"cache_mb": -1}, "cache_mb is -1.* from 0 to 4096"),
        ({"cache_mb": float("nan")}, "cache_mb is nan"),
        ({"verify_fraction": 1.5}, "verify_fraction is 1.5.* from 0 to 1"),
    )
    def test_options(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            tokenizer_module.Tokenizer(_TINY, **options)

    def test_a_model_is_loaded_once(self):
        first = tokenizer_module.Tokenizer(_TINY, extra_ids=7)
        start = time.process_time()
        others = [tokenizer_module.Tokenizer(_TINY, extra_ids=7) for _ in range(1000)]
        # Parsing alone would take far longer.
        self.assertLess(time.process_time() - start, 0.5)
        self.assertEqual(others[-1].encode("the cat"), first.encode("the cat"))
        self.assertEqual(tokenizer_module.Tokenizer(_TINY, extra_ids=8).vocab_size, 328)


class VerificationTest(parameterized.TestCase):
    @parameterized.parameters("classic", "0.2.3")
    def test_what_is_verified_is_the_same(self, semantics):
        plain = tokenizer_module.Tokenizer(_TINY, semantics=semantics)
        verified = tokenizer_module.Tokenizer(_TINY, semantics=semantics, verify_fraction=1)
        texts = (_TESTDATA / "corpus.txt").read_text("utf-8").splitlines() + ["-" * 99, ""]
        for ours, theirs in zip(
            verified.encode_batch(texts), plain.encode_batch(texts), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


class OffsetsTest(parameterized.TestCase):
    def test_bytes_of_each_token(self):
        tokenizer = tokenizer_module.Tokenizer(_TINY)
        text = "  the\u00a0caf\u00e9 \uff21 <mask>  "
        ids, offsets = tokenizer.encode_with_offsets(text)
        self.assertEqual((ids.dtype, offsets.dtype), (np.int32, np.int64))
        self.assertEqual(offsets.shape, (len(ids), 2))
        self.assertEqual(ids.tolist(), tokenizer.encode(text))
        utf8 = text.encode()
        surfaces = [utf8[a:b].decode() for a, b in offsets]
        self.assertEqual("".join(surfaces), text.strip(" "))
        self.assertIn("<mask>", surfaces)

    @parameterized.parameters("tiny", "bpe")
    def test_as_the_wheel_reports_them(self, kind):
        model = _TINY if kind == "tiny" else tiny_model.train(model_type="bpe")
        ours = tokenizer_module.Tokenizer(model)
        wheel = sentencepiece.SentencePieceProcessor(model_proto=model)

        @_FUZZ
        @hypothesis.given(st.text(alphabet=st.characters(codec="ascii"), max_size=60))
        def check(text):
            # In ASCII, where the wheel's characters are bytes.
            pieces = wheel.encode(text, out_type="immutable_proto").pieces
            ids, offsets = ours.encode_with_offsets(text)
            self.assertEqual(ids.tolist(), [piece.id for piece in pieces])
            self.assertEqual(offsets.tolist(), [[piece.begin, piece.end] for piece in pieces])

        check()

    def test_no_tokens(self):
        ids, offsets = tokenizer_module.Tokenizer(_TINY).encode_with_offsets(" \u00a0")
        self.assertEqual((ids.shape, offsets.shape), ((0,), (0, 2)))


class CacheTest(absltest.TestCase):
    def test_small_tables_and_many_threads_change_nothing(self):
        texts = [f"{i} the cat{i % 97} {'-' * (i % 30)} {i * 7919}" for i in range(3000)]
        expected = tokenizer_module.Tokenizer(_TINY, num_threads=1).encode_batch(texts)[0].tolist()
        tokenizer = tokenizer_module.Tokenizer(_TINY, num_threads=3, cache_mb=0.001)
        seen = [None] * 4

        def work(i):
            seen[i] = tokenizer.encode_batch(texts)[0].tolist()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(seen))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, [expected] * len(seen))


if __name__ == "__main__":
    absltest.main()
