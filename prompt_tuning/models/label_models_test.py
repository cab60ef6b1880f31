# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.models import label_models, models, network

jax.config.update("jax_numpy_rank_promotion", "raise")

B, C, T, L = 2, 3, 3, 2
CONFIG = network.T5Config(
    vocab_size=16,
    emb_dim=8,
    num_heads=2,
    head_dim=4,
    mlp_dim=12,
    num_encoder_layers=1,
    num_decoder_layers=1,
    dtype="float32",
)
LABELS = np.array([[4, 1], [7, 1], [1, 0]], np.int32)
INPUTS = np.array([[5, 6, 1], [8, 1, 0]], np.int32)
BATCH = {
    "encoder_input_tokens": np.repeat(INPUTS[:, None], C, axis=1),
    "decoder_input_tokens": np.tile(np.asarray(models.shift_right(LABELS)), (B, 1, 1)),
    "decoder_target_tokens": np.tile(LABELS, (B, 1, 1)),
    "decoder_loss_weights": np.tile((LABELS > 0).astype(np.float32), (B, 1, 1)),
    "is_correct": np.array([[0, 1, 0], [1, 0, 0]], bool),
}
SHAPES = {name: value.shape for name, value in BATCH.items()}
GOLD = BATCH["is_correct"].argmax(axis=1)


def cross_entropy(length_normalize=False, **settings):
    return label_models.CrossEntropyEncoderDecoderModel(
        length_normalize, network.Transformer(CONFIG), None, None, None, **settings
    )


def perceptron(hinge=0.2, length_normalize=False):
    return label_models.PerceptronLossEncoderDecoderModel(
        hinge, length_normalize, network.Transformer(CONFIG), None, None, None
    )


@functools.cache
def params():
    return cross_entropy().get_initial_variables(jax.random.key(1), SHAPES)["params"]


@functools.cache
def scores():
    """Score of each label for each input, [B, C], one pair at a time."""
    plain = models.EncoderDecoderModel(network.Transformer(CONFIG), None, None, None)
    score = jax.jit(plain.score_batch)
    found = np.zeros((B, C))
    for b in range(B):
        for c in range(C):
            pair = {name: value[b, c][None] for name, value in BATCH.items() if value.ndim > 2}
            found[b, c] = score(params(), pair)[0]
    return found


class FoldTest(absltest.TestCase):
    def test_unfold_is_the_inverse(self):
        folded = label_models.fold(BATCH)
        self.assertEqual(folded["encoder_input_tokens"].shape, (B * C, T))
        for name, value in folded.items():
            np.testing.assert_array_equal(label_models.unfold(value, B), BATCH[name])


class LabelModelTest(parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_logits_are_the_scores_of_the_labels(self, length_normalize):
        lengths = (LABELS > 0).sum(axis=1) if length_normalize else 1
        got = jax.jit(cross_entropy(length_normalize).label_logits)(params(), BATCH)
        np.testing.assert_allclose(got, scores() / lengths, rtol=1e-5)

    def test_a_label_without_tokens_is_no_nan(self):
        batch = {**BATCH, "decoder_loss_weights": BATCH["decoder_loss_weights"].copy()}
        batch["decoder_loss_weights"][0, 2] = 0
        got = jax.jit(cross_entropy(True).label_logits)(params(), batch)
        self.assertEqual(got[0, 2], 0)

    @parameterized.parameters((0.0, 0.0), (0.1, 0.01))
    def test_cross_entropy(self, smoothing, z_loss):
        model = cross_entropy(label_smoothing=smoothing, z_loss=z_loss)
        loss, metrics = jax.jit(model.loss_fn)(params(), BATCH)
        log_z = np.log(np.exp(scores()).sum(axis=1))
        soft = np.full((B, C), smoothing / (C - 1))
        soft[np.arange(B), GOLD] = 1 - smoothing
        entropy = -(soft * np.log(soft + 1e-20)).sum(axis=1)
        cross = -(soft * (scores() - log_z[:, None])).sum(axis=1) - entropy
        np.testing.assert_allclose(metrics["z_loss"], (z_loss * log_z**2).sum(), rtol=1e-5)
        np.testing.assert_allclose(loss, (cross + z_loss * log_z**2).sum(), rtol=1e-5)
        self.assertEqual(metrics["weight_sum"], B)
        self.assertEqual(metrics["correct"], (scores().argmax(axis=1) == GOLD).sum())

    @parameterized.parameters(0.2, 0.0)
    def test_perceptron(self, hinge):
        loss, metrics = jax.jit(perceptron(hinge).loss_fn)(params(), BATCH)
        right = scores()[np.arange(B), GOLD]
        expected = np.maximum(0, hinge + scores().max(axis=1) - right).sum()
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
        self.assertEqual(metrics["z_loss"], 0)

    def test_perceptron_pulls_on_nothing_where_the_right_label_is_best(self):
        is_correct = np.eye(C, dtype=bool)[scores().argmax(axis=1)]
        gradient = jax.jit(jax.grad(lambda p, b: perceptron().loss_fn(p, b)[0]))
        batch = {**BATCH, "is_correct": is_correct}
        loss, metrics = jax.jit(perceptron().loss_fn)(params(), batch)
        np.testing.assert_allclose(loss, B * 0.2, rtol=1e-6)
        self.assertEqual(metrics["correct"], B)
        for leaf in jax.tree.leaves(gradient(params(), batch)):
            np.testing.assert_array_equal(leaf, np.zeros(leaf.shape))
        wrong = {**BATCH, "is_correct": np.roll(is_correct, 1, axis=1)}
        pulls = jax.tree.leaves(gradient(params(), wrong))
        self.assertGreater(max(np.abs(leaf).max() for leaf in pulls), 0.1)

    def test_prediction_is_the_best_labels_tokens(self):
        tokens, aux = jax.jit(perceptron().predict_batch_with_aux)(params(), BATCH)
        np.testing.assert_array_equal(tokens, LABELS[scores().argmax(axis=1)])
        self.assertEmpty(aux)
        np.testing.assert_array_equal(perceptron().predict_batch(params(), BATCH), tokens)

    def test_base_class_has_no_loss(self):
        base = label_models.ValidLabelsOnlyEncoderDecoderModel(
            True, network.Transformer(CONFIG), None, None, None
        )
        with self.assertRaisesRegex(NotImplementedError, "no loss"):
            base.loss_fn(params(), BATCH)


if __name__ == "__main__":
    absltest.main()
