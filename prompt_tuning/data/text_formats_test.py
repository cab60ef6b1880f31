# SPDX-License-Identifier: Apache-2.0
import types

import tensorflow as tf
from absl.testing import absltest, parameterized

from prompt_tuning.data import text_formats


def _dataset(**features) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensors(features)


def _one(dataset: tf.data.Dataset) -> dict:
    (example,) = dataset.as_numpy_iterator()
    return example


class TextFormatsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("Who's (he)?", "Who ' s ( he ) ? "),
        ("a\tb\n\nc", "a b c"),
        ("na\u00efve \u00abx\u00bb", "na\u00efve \u00abx\u00bb"),
        ("3.5%", "3 . 5 % "),
        ("", ""),
    )
    def test_pad_punctuation(self, text, expected):
        self.assertEqual(text_formats.pad_punctuation(text).numpy().decode(), expected)

    def test_glue_sorts_features_unless_told(self):
        example = _dataset(b="B", a="A", label=tf.constant(1, tf.int64), idx=7)
        got = _one(text_formats.glue(example, benchmark_name="t", label_names=("no", "yes")))
        self.assertEqual(got, {"inputs": b"t a: A b: B", "targets": b"yes", "idx": 7})
        got = _one(
            text_formats.glue(
                example, benchmark_name="t", label_names=("no", "yes"), feature_names=("b",)
            )
        )
        self.assertEqual(got["inputs"], b"t b: B")

    def test_glue_without_a_label(self):
        example = _dataset(a="A", label=tf.constant(-1, tf.int64), idx=0)
        got = _one(text_formats.glue(example, benchmark_name="t", label_names=("no", "yes")))
        self.assertEqual(got["targets"], b"<unk>")

    @parameterized.parameters((3.75, b"3.8"), (0.5, b"0.4"), (5.0, b"5.0"), (2.3, b"2.4"))
    def test_stsb_rounds_to_a_fifth(self, score, expected):
        example = _dataset(sentence1="a", sentence2="b", label=tf.constant(score), idx=0)
        got = _one(text_formats.stsb(example))
        self.assertEqual(got["inputs"], b"stsb sentence1: a sentence2: b")
        self.assertEqual(got["targets"], expected)

    def test_record_without_answers(self):
        example = _dataset(
            query="q @placeholder",
            passage='He left."\n@highlight\nShe too\n@highlight\nEnd',
            entities=["A", "B"],
            answers=tf.constant([], tf.string),
            idx={"passage": 1, "query": 2},
        )
        got = _one(text_formats.record(example))
        self.assertEqual(
            got["inputs"],
            b'record query: q @placeholder entities: A, B passage: He left." She too. End',
        )
        self.assertEqual((got["targets"], got["idx/query"]), (b"<unk>", 2))
        ranked = _one(text_formats.record_to_rank(example))
        self.assertEqual((ranked["inputs"], ranked["targets"]), (got["inputs"], b"<unk>"))
        self.assertEqual(ranked["entities"].tolist(), [b"A", b"B"])

    @parameterized.parameters(
        ("Bob told Tom that he left .", "he", 4, "Bob told Tom that *he* left ."),
        ("If Bob saw it , it fell", "it", 5, "If Bob saw it , *it* fell"),
        # Quotes glued to the pronoun are split off.
        ('She said "Look at him," and left ', "him", 4, 'She said "Look at *him* ," and left'),
        # The index is one too low.
        ("They want to use it , but later", "it", 3, "They want to use *it* , but later"),
    )
    def test_wsc_marks_the_pronoun(self, text, pronoun, index, expected):
        example = _dataset(
            text=text, span1_text="Bob", span2_text=pronoun, span2_index=index, label=1, idx=3
        )
        got = _one(text_formats.wsc_simple(example))
        self.assertEqual(got["inputs"].decode(), f"wsc: {expected}")
        self.assertEqual((got["targets"], got["label"], got["idx"]), (b"Bob", 1, 3))

    def test_wsc_without_its_pronoun(self):
        example = _dataset(
            text="a b c", span1_text="a", span2_text="he", span2_index=1, label=1, idx=0
        )
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "does not hold its pronoun"):
            _one(text_formats.wsc_simple(example))

    @parameterized.parameters(
        ("The cat saw it, and it ran.", "it", "wsc: The cat saw *it*, and it ran."),
        ("Ann knew he had left.", "he", "wsc: Ann knew *he* had left."),
        ("They came with them.", "them", "wsc: They came with *them*."),
    )
    def test_dpr(self, sentence, pronoun, expected):
        example = _dataset(sentence=sentence, pronoun=pronoun, candidates=["x", "y"], label=1)
        got = _one(text_formats.definite_pronoun_resolution_simple(example))
        self.assertEqual((got["inputs"].decode(), got["targets"]), (expected, b"y"))

    def test_tsv_to_qa(self):
        line = 'q1\tIt\'s "Bob".\tWho?\tBob\tBob|||Mr. Bob'
        got = _one(text_formats.tsv_to_qa(tf.data.Dataset.from_tensors(line)))
        self.assertEqual(got["inputs"].decode(), 'question: Who ? context: It \' s " Bob " . ')
        self.assertEqual((got["targets"], got["answer"], got["id"]), (b"Bob", b"Bob", b"q1"))
        self.assertEqual(got["answers"].tolist(), [b"Bob", b"Mr . Bob"])

    def test_text_generation(self):
        example = _dataset(a={"b": "source"}, c="target")
        keys = {"source_key": "a", "source_nested_key": "b", "target_key": "c"}
        got = _one(text_formats.text_generation(example, **keys))
        self.assertEqual(got, {"inputs": b"source", "targets": b"target"})
        got = _one(text_formats.text_generation(example, **keys, task_name="t", prefix="sum:"))
        self.assertEqual(got["inputs"], b"t sum: source")

    def test_text_classification(self):
        example = _dataset(text="a  b", other="c", label=tf.constant(1, tf.int64))
        got = _one(text_formats.text_classification(example, text_a_key="text"))
        self.assertEqual(got, {"inputs": b"text: a b", "targets": b"1"})
        names = {"label_names": ("no", "yes"), "text_a_key": "text", "text_b_key": "other"}
        got = _one(text_formats.text_classification(example, task_name="t", **names))
        self.assertEqual(got, {"inputs": b"t text: a b other: c", "targets": b"yes"})
        as_text = _dataset(text="a", other="c", label="0")
        got = _one(text_formats.text_classification(as_text, **names))
        self.assertEqual(got["targets"], b"no")

    @parameterized.parameters((" a", "a"), ("t a b", "a b"), ("word", "word"), ("", ""))
    def test_remove_first_text_token(self, text, expected):
        got = _one(text_formats.remove_first_text_token(_dataset(inputs=text, targets="x y")))
        self.assertEqual(got, {"inputs": expected.encode(), "targets": b"x y"})

    def test_labels_and_fields(self):
        for label, expected in ((1, b"yes"), (-1, b"UNK")):
            example = _dataset(label=tf.constant(label, tf.int64))
            got = _one(text_formats.label_idx_to_string(example, label_names=("no", "yes")))
            self.assertEqual(got["label"], expected)
        got = _one(text_formats.join_fields(_dataset(title="A  b")))
        self.assertEqual(got["text"], b"A b")
        got = _one(text_formats.join_fields(_dataset(description="c", title="A")))
        self.assertEqual(got["text"], b"A c")

    def test_filter_langid(self):
        class Detector:
            def find_language(self, text):
                return types.SimpleNamespace(
                    is_reliable=text != b"?",
                    probability=0.9 if text == b"perhaps" else 0.99,
                    language="de" if text == b"nein" else "en",
                )

        texts = ["yes", "nein", "?", "perhaps"]
        dataset = tf.data.Dataset.from_tensor_slices({"text": texts})
        for threshold, expected in ((0.95, [b"yes"]), (0.5, [b"yes", b"perhaps"])):
            kept = text_formats.filter_langid(dataset, "en", Detector(), threshold=threshold)
            self.assertEqual([e["text"] for e in kept.as_numpy_iterator()], expected)


if __name__ == "__main__":
    absltest.main()
