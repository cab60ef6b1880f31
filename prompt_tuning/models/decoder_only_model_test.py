# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.models import decoder_only_model, decoder_only_network, decoding, network

jax.config.update("jax_numpy_rank_promotion", "raise")

L, V = 8, 12
CONFIG = network.T5Config(
    vocab_size=V,
    emb_dim=8,
    num_heads=2,
    head_dim=3,
    mlp_dim=12,
    num_encoder_layers=1,
    num_decoder_layers=1,
    dtype="float32",
)
BATCH = {
    "decoder_input_tokens": np.array([[0, 5, 6, 7, 4, 0, 0, 0], [0, 8, 9, 4, 0, 0, 0, 0]]),
    "decoder_target_tokens": np.array([[5, 6, 7, 4, 1, 0, 0, 0], [8, 9, 4, 1, 0, 0, 0, 0]]),
    "decoder_loss_weights": np.array([[0, 0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0, 0]]) * 1.0,
    "decoder_causal_attention": np.array([[1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]),
}
SHAPES = {name: value.shape for name, value in BATCH.items()}
_greedy = functools.partial(decoding.temperature_sample, temperature=0.0, rescale_log_probs=False)


@functools.cache
def make(bidirectional=False, decode_fn=_greedy, **settings):
    module = decoder_only_network.DecoderOnly(CONFIG)
    return decoder_only_model.DecoderOnlyModel(
        module, None, None, decode_fn, bidirectional, **settings
    )


@functools.cache
def params():
    return make().get_initial_variables(jax.random.key(3), SHAPES)["params"]


def log_probs(model, rows):
    """Log-distributions after each position of token rows that begin with 0, padded to L."""
    width = [len(row) for row in rows]
    tokens = np.array([(row + [0] * L)[:L] for row in rows], np.int32)
    real = (np.arange(L)[None] < np.array(width)[:, None]).astype(np.int32)
    marks = BATCH["decoder_causal_attention"] if model.inputs_bidirectional_attention else None
    logits = jax.jit(model.module.apply)({"params": params()}, tokens, real, marks)
    return np.asarray(jax.nn.log_softmax(logits))


class RemovePrefixTest(absltest.TestCase):
    def test_rows_of_unequal_prefixes(self):
        rows = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
        got = decoder_only_model.remove_prefix(rows, np.array([1, 3]))
        np.testing.assert_array_equal(got, [[2, 3, 4, 0], [8, 0, 0, 0]])
        both = decoder_only_model.remove_prefix(np.stack([rows, rows], axis=1), np.array([0, 4]))
        np.testing.assert_array_equal(both, [[rows[0], rows[0]], np.zeros((2, 4))])


class DecoderOnlyModelTest(parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_search_is_the_greedy_path_of_the_whole_network(self, bidirectional):
        model = make(bidirectional)
        tokens, aux = jax.jit(model.predict_batch_with_aux)(params(), BATCH)
        rows, scores = [[0, 5, 6], [0, 8]], [0.0, 0.0]
        ended = [False, False]
        for _ in range(L):
            distribution = log_probs(model, rows)
            for b, row in enumerate(rows):
                if len(row) > L or ended[b]:
                    continue
                best = int(distribution[b, len(row) - 1].argmax())
                scores[b] += distribution[b, len(row) - 1, best]
                row.append(best)
                ended[b] = best == 1
        for b, given in enumerate((3, 2)):
            generated = rows[b][given:]
            np.testing.assert_array_equal(tokens[b], generated + [0] * (L - len(generated)))
        np.testing.assert_allclose(aux["scores"], scores, rtol=1e-5)

    def test_targets_in_the_inputs_are_not_looked_at(self):
        predict = jax.jit(make().predict_batch)
        blank = {**BATCH, "decoder_input_tokens": BATCH["decoder_input_tokens"].copy()}
        blank["decoder_input_tokens"][:, 3:] = 0
        np.testing.assert_array_equal(predict(params(), BATCH), predict(params(), blank))

    def test_each_row_is_searched_as_if_alone(self):
        together = jax.jit(make().predict_batch)(params(), BATCH)
        for row in range(2):
            alone = {name: value[row : row + 1] for name, value in BATCH.items()}
            np.testing.assert_array_equal(
                jax.jit(make().predict_batch)(params(), alone)[0], together[row]
            )

    def test_samples(self):
        model = make(decode_fn=functools.partial(decoding.temperature_sample, topk=0))
        predict = functools.partial(
            model.predict_batch_with_aux, num_decodes=3, return_all_decodes=True
        )
        tokens, aux = jax.jit(predict)(params(), BATCH, jax.random.key(0))
        self.assertEqual(tokens.shape, (2, 3, L))
        self.assertTrue((np.diff(aux["scores"], axis=1) >= 0).all())
        other, _ = jax.jit(predict)(params(), BATCH, jax.random.key(1))
        self.assertFalse(np.array_equal(tokens, other))
        with self.assertRaisesRegex(ValueError, "Drop either"):
            predict(
                params(), BATCH, jax.random.key(0), decoder_params={"decode_rng": jax.random.key(1)}
            )

    @parameterized.parameters(False, True)
    def test_loss_is_that_of_the_targets(self, bidirectional):
        loss, metrics = jax.jit(make(bidirectional).loss_fn)(params(), BATCH)
        marks = BATCH["decoder_causal_attention"] if bidirectional else None
        targets, weights = BATCH["decoder_target_tokens"], BATCH["decoder_loss_weights"]
        logits = jax.jit(make().module.apply)(
            {"params": params()}, BATCH["decoder_input_tokens"], targets, marks
        )
        chosen = np.take_along_axis(
            np.asarray(jax.nn.log_softmax(logits)), targets[..., None], axis=-1
        )[..., 0]
        expected = (chosen * weights).sum(axis=1)
        np.testing.assert_allclose(loss, -expected.sum(), rtol=1e-5)
        scores = jax.jit(make(bidirectional).score_batch)(params(), BATCH)
        np.testing.assert_allclose(scores, expected, rtol=1e-5)
        self.assertEqual(metrics["weight_sum"], weights.sum())
        self.assertEqual(metrics["decoder_target_tokens"], (targets > 0).sum())
        self.assertNotIn("encoder_input_tokens", metrics)

    def test_settings_of_the_loss(self):
        with self.assertRaisesRegex(ValueError, "Z_LOSS"):
            decoder_only_model.DecoderOnlyModel(None, None, None, z_loss=-1.0)
        plain, _ = jax.jit(make().loss_fn)(params(), BATCH)
        with_z, metrics = jax.jit(make(z_loss=0.1).loss_fn)(params(), BATCH)
        np.testing.assert_allclose(with_z - plain, metrics["z_loss"], rtol=1e-4)

    def test_packed_examples(self):
        batch = {**BATCH, "decoder_segment_ids": jnp.ones((2, L))}
        with self.assertRaisesRegex(ValueError, "packed"):
            make().loss_fn(params(), batch)


if __name__ == "__main__":
    absltest.main()
