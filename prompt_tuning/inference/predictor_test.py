# SPDX-License-Identifier: Apache-2.0
import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.inference import predictor, toy_predictor
from prompt_tuning.models import models

jax.config.update("jax_numpy_rank_promotion", "raise")

P, H, EOS = toy_predictor.P, toy_predictor.H, toy_predictor.EOS
Letters, TracedModel = toy_predictor.Letters, toy_predictor.TracedModel
make_texts = toy_predictor.make_texts
LABELS = ["yes", "no", "maybe"]
TEXTS = make_texts([3, 20, 0, 7, 12, 2, 30, 5, 9])


class PredictorTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = None
        cls.params = toy_predictor.parameters()

    def make(self, **options):
        self.model = TracedModel()
        return toy_predictor.make_predictor(self.model, **options)

    @property
    def made(self):
        """A predictor with what it compiled in other tests."""
        if self.shared is None:
            type(self).shared = self.make()
        return self.shared

    def expected_scores(self, texts, **extra):
        """The likelihood of every pair of text and label, a row each, all in one padded batch."""
        pairs = list(itertools.product(texts, LABELS))
        inputs, labels = zip(*pairs, strict=True)
        targets = jnp.asarray(Letters().encode_padded(labels, max(map(len, LABELS)), eos=None))
        batch = {
            "encoder_input_tokens": jnp.asarray(Letters().encode_padded(inputs, 40)),
            "decoder_input_tokens": models.shift_right(targets),
            "decoder_target_tokens": targets,
            "decoder_loss_weights": (targets > 0).astype(jnp.float32),
        }
        scores = jax.jit(TracedModel().score_batch)(self.params, batch, **extra)
        return np.asarray(scores).reshape(len(texts), len(LABELS))

    def test_scores_do_not_depend_on_batches(self):
        scores = self.made.score_labels(TEXTS, LABELS)
        self.assertEqual(scores.dtype, np.float32)
        np.testing.assert_allclose(scores, self.expected_scores(TEXTS), atol=1e-4)

    def test_labels_end_with_eos_only_where_one_begins_another(self):
        np.testing.assert_array_equal(
            predictor.label_tokens(Letters(), ["ab", "c"]),
            [Letters().encode("ab"), [*Letters().encode("c"), 0]],
        )
        tokens = predictor.label_tokens(Letters(), ["ab", "a"])
        np.testing.assert_array_equal(
            tokens, [[*Letters().encode("ab"), EOS], [*Letters().encode("a"), EOS, 0]]
        )

    def test_predictions_do_not_depend_on_batches(self):
        batch = {
            "encoder_input_tokens": jnp.asarray(Letters().encode_padded(TEXTS, 40)),
            "decoder_input_tokens": jnp.zeros((len(TEXTS), 6), jnp.int32),
        }
        tokens, aux = jax.jit(TracedModel().predict_batch_with_aux)(self.params, batch)
        predictions = self.made.predict(TEXTS)
        self.assertEqual([p.text for p in predictions], [Letters().decode(t) for t in tokens])
        self.assertGreater(len({p.text for p in predictions}), 1)
        np.testing.assert_allclose([p.score for p in predictions], aux["scores"], atol=1e-4)

    def test_one_compilation_for_each_width(self):
        made = self.make()
        lengths = [1, 2, 3, 4, 12, 13, 14, 15, 30]
        made.score_labels(make_texts(lengths), LABELS)
        widths = {("score", 8): 1, ("score", 16): 1, ("score", 32): 1}
        self.assertEqual(self.model.traces, widths)
        for count in (2, 5, 9):
            made.score_labels(make_texts(lengths[-count:], seed=count), LABELS)
        self.assertEqual(self.model.traces, widths)
        for count in (3, 4, 2):
            made.predict(make_texts(lengths[:count]))
        self.assertEqual(self.model.traces, {**widths, ("predict", 8): 1})

    def test_a_row_alone_has_a_program_of_its_own(self):
        made, texts = self.make(), make_texts([3, 4])
        for text in texts:
            made.score_labels([text], LABELS)
        self.assertEqual(self.model.traces, {("score", 8): 1})
        alone, batch = (made.score_labels(texts[:n], LABELS) for n in (1, 2))
        self.assertEqual(self.model.traces, {("score", 8): 2})
        np.testing.assert_allclose(alone[0], batch[0], atol=1e-4)

    def test_another_prompt_of_the_same_length_compiles_nothing(self):
        made = self.make(prompt=np.zeros((P, H)))
        made.score_labels(TEXTS[:1], LABELS)
        value = self.params["encoder"]["prompt"]["prompt"]["prompt"]
        scores = made.with_prompt(value).score_labels(TEXTS[:1], LABELS)
        self.assertEqual(self.model.traces, {("score", 8): 1})
        np.testing.assert_allclose(scores, self.expected_scores(TEXTS[:1]), atol=1e-4)

    def test_given_prompt_replaces_the_models(self):
        for given in (np.ones((5, H), np.float32), np.zeros((0, H), np.float32)):
            scores = self.make(prompt=given).score_labels(TEXTS[:2], LABELS)
            expected = self.expected_scores(TEXTS[:2], prompt=jnp.asarray(given))
            np.testing.assert_allclose(scores, expected, atol=1e-4)

    def test_flat_and_nested_parameters(self):
        flat = traverse_util.flatten_dict(self.params, sep="/")
        nested = self.made.score_labels(TEXTS[:1], LABELS)
        np.testing.assert_array_equal(
            self.make(params=flat).score_labels(TEXTS[:1], LABELS), nested
        )

    def test_windows_keep_the_order(self):
        made = self.make(window=4)
        windows, whole = made.score_labels(TEXTS, LABELS), self.made.score_labels(TEXTS, LABELS)
        np.testing.assert_allclose(windows, whole, atol=1e-4)

    def test_stream_reads_one_window_at_a_time(self):
        endless = itertools.count()
        texts = (TEXTS[0] for _ in endless)
        made = self.make(window=4)
        first = list(itertools.islice(made.score_labels_stream(texts, LABELS), 3))
        self.assertLen(first, 3)
        self.assertEqual(next(endless), 4)

    def test_long_inputs_are_cut(self):
        long = make_texts([100])[0]
        made = self.make(inputs_length=9)
        np.testing.assert_array_equal(
            made.score_labels([long], LABELS), made.score_labels([long[:8]], LABELS)
        )

    def test_inputs_without_eos(self):
        with_eos = self.made.score_labels([""], LABELS)
        without = self.make(add_inputs_eos=False).score_labels([""], LABELS)
        self.assertGreater(np.abs(with_eos - without).max(), 1e-3)
        self.assertTrue(np.isfinite(without).all())

    def test_no_texts(self):
        self.assertEqual(self.made.predict([]), [])
        self.assertEqual(self.made.score_labels([], LABELS).shape, (0, 3))

    @parameterized.parameters(
        ([], "no labels"),
        (["yes", "no", "yes"], "'yes' and 'yes' have the same tokens"),
        (["yes", "perhaps"], "'perhaps' has 8 tokens.*6.*targets_length"),
    )
    def test_labels_are_checked_before_any_text(self, labels, message):
        with self.assertRaisesRegex(ValueError, message):
            self.made.score_labels_stream(iter(TEXTS), labels)

    @parameterized.parameters(
        ({"batch_size": 0}, "batch_size is 0"),
        ({"targets_length": 0}, "targets_length is 0"),
        ({"window": 0}, "window is 0"),
        ({"inputs_length": 0}, "inputs_length"),
        ({"prompt": np.zeros((3, H + 1))}, r"\(3, 9\).*\(P, 8\).*PROMPT_FILE"),
        ({"prompt": np.zeros(H)}, r"\(8,\)"),
    )
    def test_options_that_do_not_fit(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            self.make(**options)


class ImportTest(absltest.TestCase):
    def test_needs_no_tensorflow(self):
        program = """
import sys
import data_ops.vocabulary
from prompt_tuning.inference import classification, predictor, writers
classification.rank_metrics([[0, 1]], [1])
heavy = {"tensorflow", "seqio", "tensorflow_text", "gin", "clu"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": ":".join(filter(None, sys.path)), "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    absltest.main()
