# SPDX-License-Identifier: Apache-2.0
import functools

import seqio
import tensorflow as tf
from absl.testing import absltest

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.config import dataset_config
from prompt_tuning.data import fixture_tasks
from prompt_tuning.runs import task_rows

_PAIRS = [("a dull film .", "negative"), ("a charming film .", "positive")]


def _reverse_inputs(dataset):
    """Tokens that no text has any more."""
    return dataset.map(lambda e: e | {"inputs": tf.reverse(e["inputs"], [0])})


class TaskRowsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.vocabulary = fixture_tasks.vocabulary()

    def rows_of(self, name, with_targets=False, split="train", **config):
        config = {"inputs": 32, "targets": 8} | config
        config = dataset_config.DatasetConfig(name, config, split, 2, False, 0)
        found = task_rows.of_tasks(config, self.vocabulary, with_targets)
        return {task: list(rows) for task, rows in found.items()}

    def ids(self, text, eos=True):
        return (*self.vocabulary.encode(text), *([1] if eos else []))

    def test_rows_have_the_texts_and_the_tokens_of_the_task(self):
        fixture_tasks.register_plain("plain", _PAIRS)
        rows = self.rows_of("plain")["plain"]
        self.assertEqual(
            [row.fields for row in rows],
            [{"inputs_pretokenized": a, "targets_pretokenized": b} for a, b in _PAIRS],
        )
        self.assertEqual([r.request.tokens for r in rows], [self.ids(text) for text, _ in _PAIRS])
        self.assertIsNone(rows[0].request.target_tokens)

    def test_eos_is_the_tasks_own_matter(self):
        fixture_tasks.register_plain("without", _PAIRS, inputs_eos=False)
        (row, _) = self.rows_of("without")["without"]
        self.assertEqual(row.request.tokens, self.ids(_PAIRS[0][0], eos=False))

    def test_targets(self):
        fixture_tasks.register_plain("scored", _PAIRS)
        rows = self.rows_of("scored", with_targets=True)["scored"]
        targets = [row.request.target_tokens for row in rows]
        self.assertEqual(targets, [self.ids(text) for _, text in _PAIRS])

    def test_long_inputs_are_cut_as_the_task_cuts_them(self):
        fixture_tasks.register_plain("long", _PAIRS)
        (row, _) = self.rows_of("long", inputs=3)["long"]
        self.assertEqual(row.request.tokens, (*self.ids(_PAIRS[0][0])[:2], 1))

    def test_tokens_that_are_no_text(self):
        tokenize = functools.partial(seqio.preprocessors.tokenize, copy_pretokenized=False)
        plain = fixture_tasks.register_plain("pieces", _PAIRS)
        seqio.TaskRegistry.remove("pieces")
        seqio.TaskRegistry.add(
            "pieces",
            source=plain.source,
            output_features=plain.output_features,
            preprocessors=[tokenize, _reverse_inputs, seqio.preprocessors.append_eos_after_trim],
        )
        (row, _) = self.rows_of("pieces")["pieces"]
        self.assertEqual(row.request.tokens, (*self.ids(_PAIRS[0][0], eos=False)[::-1], 1))
        self.assertEqual(row.fields, {})

    def test_a_mixture_is_its_tasks(self):
        fixture_tasks.register_plain("one", _PAIRS)
        fixture_tasks.register_ours("two", _PAIRS[:1], inputs_eos=False)
        seqio.MixtureRegistry.remove("both")
        seqio.MixtureRegistry.add("both", ["one", "two"], default_rate=1.0)
        rows = self.rows_of("both")
        self.assertEqual(
            {name: len(of_task) for name, of_task in rows.items()}, {"one": 2, "two": 1}
        )
        tokens = [of_task[0].request.tokens for of_task in rows.values()]
        self.assertEqual(tokens, [self.ids(_PAIRS[0][0]), self.ids(_PAIRS[0][0], eos=False)])

    def test_a_split_that_is_not_there(self):
        fixture_tasks.register_plain("plain", _PAIRS)
        with self.assertRaisesRegex(ValueError, "'plain' has no split 'tset'; it has train"):
            self.rows_of("plain", split="tset")

    def test_tokens_of_another_vocabulary(self):
        fixture_tasks.register_plain("plain", _PAIRS)
        self.vocabulary = SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS + 1)
        with self.assertRaisesRegex(
            ValueError, "inputs of the task 'plain' are tokens of .*another"
        ):
            self.rows_of("plain")

    def test_a_task_without_inputs(self):
        plain = fixture_tasks.register_plain("texts", _PAIRS)
        seqio.TaskRegistry.remove("texts")
        features = {"targets": plain.output_features["targets"]}
        seqio.TaskRegistry.add(
            "texts", source=plain.source, preprocessors=[], output_features=features
        )
        with self.assertRaisesRegex(ValueError, "no sequence of tokens 'inputs'.*has targets"):
            self.rows_of("texts")


if __name__ == "__main__":
    absltest.main()
