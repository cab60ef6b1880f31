# SPDX-License-Identifier: Apache-2.0
"""The eager vocabulary: SeqIO's interface, equality by content, and no TensorFlow."""

import copy
import pathlib
import pickle
import shutil
import subprocess
import sys
import threading
from unittest import mock

import numpy as np
import sentencepiece
from absl.testing import absltest, parameterized
from sentencepiece import sentencepiece_model_pb2

from data_ops import vocabulary
from data_ops.tokenizer import tokenizer_module

_MODEL = str(pathlib.Path(__file__).parent / "tokenizer" / "testdata" / "tiny.model")
_TEXT = "The cat sleeps on the warm stone."


def _forget_loaded_models() -> None:
    vocabulary._load.cache_clear()
    vocabulary._fingerprint.cache_clear()


class InterfaceTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.wheel = sentencepiece.SentencePieceProcessor(model_file=_MODEL)

    @parameterized.parameters(0, None, 4)
    def test_numbers(self, extra_ids):
        vocab = vocabulary.SentencePieceVocabulary(_MODEL, extra_ids)
        self.assertEqual(vocab.extra_ids, extra_ids or 0)
        self.assertEqual(vocab.vocab_size, self.wheel.vocab_size() + (extra_ids or 0))
        self.assertEqual((vocab.pad_id, vocab.eos_id, vocab.unk_id, vocab.bos_id), (0, 1, 2, -1))
        self.assertEqual(vocab.sentencepiece_model_file, _MODEL)
        self.assertIsInstance(vocab.tokenizer, tokenizer_module.Tokenizer)

    def test_encode(self):
        vocab = vocabulary.SentencePieceVocabulary(_MODEL)
        self.assertEqual(vocab.encode(_TEXT), self.wheel.encode(_TEXT))
        self.assertEqual(vocab.encode(_TEXT.encode()), self.wheel.encode(_TEXT))
        self.assertEqual(vocab.encode(""), [])

    @parameterized.parameters(True, False)
    def test_direction_of_extra_ids(self, reverse):
        vocab = vocabulary.SentencePieceVocabulary(_MODEL, 4, reverse_extra_ids=reverse)
        ids = [vocab.encode(f"<extra_id_{i}>") for i in range(4)]
        expected = [[320], [321], [322], [323]]
        self.assertEqual(ids, expected[::-1] if reverse else expected)
        self.assertEqual(vocab.reverse_extra_ids, reverse)

    @parameterized.parameters(
        list, tuple, iter, np.array, lambda ids: np.array(ids, np.int64), lambda ids: map(int, ids)
    )
    def test_decode_kinds_of_ids(self, convert):
        vocab = vocabulary.SentencePieceVocabulary(_MODEL)
        self.assertEqual(vocab.decode(convert(vocab.encode(_TEXT))), _TEXT)

    def test_decode_stops_at_eos(self):
        vocab = vocabulary.SentencePieceVocabulary(_MODEL)
        ids = vocab.encode(_TEXT)
        self.assertEqual(vocab.decode([*ids, 1, *ids, 1]), _TEXT)
        self.assertEqual(vocab.decode([1, *ids]), "")
        self.assertEqual(vocab.decode([]), "")

    def test_decode_reads_padding_rows_as_unknown(self):
        vocab = vocabulary.SentencePieceVocabulary(_MODEL)
        expected = self.wheel.decode([5, vocab.unk_id, 6])
        self.assertEqual(vocab.decode([5, vocab.vocab_size, 6]), expected)
        self.assertEqual(vocab.decode([5, 2**40, 6]), expected)

    def test_decode_refuses_negative_ids(self):
        with self.assertRaisesRegex(IndexError, "id -1 is not in the vocabulary"):
            vocabulary.SentencePieceVocabulary(_MODEL).decode([5, -1])

    def test_warns_of_another_padding(self):
        proto = sentencepiece_model_pb2.ModelProto.FromString(pathlib.Path(_MODEL).read_bytes())
        proto.pieces[0].piece, proto.trainer_spec.pad_piece = "<nothing>", "<other>"
        path = self.create_tempfile(content=proto.SerializeToString(), mode="wb").full_path
        with self.assertLogs(level="WARNING") as logs:
            vocab = vocabulary.SentencePieceVocabulary(path)
            self.assertEqual(vocab.pad_id, 0)
            vocab.load_model()
        self.assertIn("pads with id -1", logs.output[0])


class LoadingTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        _forget_loaded_models()

    def test_construction_touches_no_file(self):
        vocab = vocabulary.SentencePieceVocabulary("/no/such/spiece.model", 100)
        self.assertEqual(vocab.extra_ids, 100)
        self.assertIn("/no/such/spiece.model", repr(vocab))

    def test_missing_file(self):
        vocab = vocabulary.SentencePieceVocabulary("/no/such/spiece.model")
        with self.assertRaisesRegex(
            FileNotFoundError, "'/no/such/spiece.model'; set sentencepiece_model_file"
        ):
            vocab.load_model()

    def test_broken_file(self):
        path = self.create_tempfile(content="not a model").full_path
        with self.assertRaisesRegex(ValueError, f"vocabulary '{path}': .* not a SentencePiece"):
            vocabulary.SentencePieceVocabulary(path).load_model()

    def test_options_that_do_not_fit(self):
        with self.assertRaisesRegex(ValueError, f"vocabulary '{_MODEL}': extra_ids is -1"):
            vocabulary.SentencePieceVocabulary(_MODEL, -1).load_model()

    def test_once_per_process(self):
        first, second = (vocabulary.SentencePieceVocabulary(_MODEL, 4) for _ in range(2))
        self.assertIs(first.tokenizer, second.tokenizer)

    def test_once_however_many_threads_ask(self):
        with mock.patch.object(
            tokenizer_module, "Tokenizer", wraps=tokenizer_module.Tokenizer
        ) as create:
            vocab = vocabulary.SentencePieceVocabulary(_MODEL)
            threads = [threading.Thread(target=vocab.load_model) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(create.call_count, 1)


class IdentityTest(absltest.TestCase):
    def test_equal_by_content(self):
        copied = self.create_tempfile().full_path
        shutil.copyfile(_MODEL, copied)
        left, right = (vocabulary.SentencePieceVocabulary(path, 4) for path in (_MODEL, copied))
        self.assertEqual(left, right)
        self.assertEqual(hash(left), hash(right))
        self.assertEqual(left.fingerprint, right.fingerprint)

    def test_different_options_differ(self):
        made = [
            vocabulary.SentencePieceVocabulary(_MODEL),
            vocabulary.SentencePieceVocabulary(_MODEL, 4),
            vocabulary.SentencePieceVocabulary(_MODEL, 4, reverse_extra_ids=False),
        ]
        self.assertLen(set(made), 3)
        self.assertLen({vocab.fingerprint for vocab in made}, 3)
        for i, vocab in enumerate(made):
            self.assertEqual([vocab == other for other in made], [i == j for j in range(3)])

    def test_extra_ids_of_the_model_are_not_extra(self):
        appended = vocabulary.SentencePieceVocabulary(_MODEL, 4)
        path = self.create_tempfile(content=appended.sp_model, mode="wb").full_path
        inside = vocabulary.SentencePieceVocabulary(path)
        self.assertEqual(appended.vocab_size, inside.vocab_size)
        self.assertEqual(appended.encode("<extra_id_3> a"), inside.encode("<extra_id_3> a"))
        self.assertNotEqual(appended, inside)

    def test_other_types_differ(self):
        vocab = vocabulary.SentencePieceVocabulary(_MODEL)
        self.assertNotEqual(vocab, _MODEL)
        self.assertNotEqual(vocab, None)

    def test_same_spelling_needs_no_file(self):
        left, right = (vocabulary.SentencePieceVocabulary("/no/such.model") for _ in range(2))
        self.assertEqual(left, right)

    def test_pickle_and_copy(self):
        vocab = vocabulary.SentencePieceVocabulary(_MODEL, 4)
        vocab.load_model()
        pickled = pickle.dumps(vocab)
        # The path travels and not the model.
        self.assertLess(len(pickled), 500)
        for twin in (pickle.loads(pickled), copy.copy(vocab), copy.deepcopy(vocab)):
            self.assertEqual(twin, vocab)
            self.assertEqual(twin.encode(_TEXT), vocab.encode(_TEXT))

    def test_pickle_reaches_another_process(self):
        vocab = vocabulary.SentencePieceVocabulary(_MODEL, 4)
        code = f"import pickle, sys; print(pickle.load(sys.stdin.buffer).encode({_TEXT!r}))"
        result = _python(code, stdin=pickle.dumps(vocab))
        self.assertEqual(result, str(vocab.encode(_TEXT)))


class ImportTest(absltest.TestCase):
    def test_eager_side_loads_no_tensorflow(self):
        code = f"""
import sys
from data_ops import vocabulary
vocab = vocabulary.SentencePieceVocabulary({_MODEL!r}, 4)
vocab.decode(vocab.encode("The cat"))
assert vocab == vocabulary.SentencePieceVocabulary({_MODEL!r}, extra_ids=4)
hash(vocab)
heavy = {{"tensorflow", "tensorflow_text", "seqio", "sentencepiece", "jax"}}
print(sorted(heavy & set(sys.modules)))
"""
        self.assertEqual(_python(code), "[]")


def _python(code: str, stdin: bytes = b"") -> str:
    """What a fresh interpreter prints when it runs `code` with this one's import path."""
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        input=stdin,
        capture_output=True,
        check=False,
    )
    if result.returncode:
        raise AssertionError(result.stderr.decode())
    return result.stdout.decode().strip()


if __name__ == "__main__":
    absltest.main()
