# SPDX-License-Identifier: Apache-2.0

import types

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.models import decoding, models, network

jax.config.update("jax_numpy_rank_promotion", "raise")

_CONFIG = network.T5Config(
    vocab_size=11,
    emb_dim=8,
    num_heads=2,
    head_dim=3,
    mlp_dim=10,
    num_encoder_layers=1,
    num_decoder_layers=1,
    dropout_rate=0.2,
    dtype="float32",
)
_TARGETS = np.array([[4, 6, 1, 0], [7, 3, 9, 1]], np.int32)
_BATCH = {
    "encoder_input_tokens": np.array([[5, 9, 7, 1, 0, 0], [3, 4, 6, 8, 2, 1]], np.int32),
    "decoder_input_tokens": np.array([[0, 4, 6, 1], [0, 7, 3, 9]], np.int32),
    "decoder_target_tokens": _TARGETS,
    "decoder_loss_weights": (_TARGETS > 0).astype(np.float32),
}


def _model(**settings):
    return models.EncoderDecoderModel(
        network.Transformer(_CONFIG), None, types.SimpleNamespace(eos_id=1), "adafactor", **settings
    )


class EncoderDecoderModelTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = _model()
        shapes = {k: v.shape for k, v in _BATCH.items()}
        variables = cls.model.get_initial_variables(jax.random.PRNGKey(0), shapes)
        cls.params = variables["params"]
        cls.score_batch = staticmethod(jax.jit(cls.model.score_batch))

    def test_loss_is_minus_the_score_and_metrics_are_sums(self):
        loss, metrics = jax.jit(self.model.loss_fn)(self.params, _BATCH)
        scores = self.score_batch(self.params, _BATCH)
        self.assertAlmostEqual(float(loss), -float(scores.sum()), places=4)
        expected = {
            "z_loss": 0,
            "weight_sum": 7,
            "num_examples": 2,
            "encoder_input_tokens": 10,
            "encoder_input_positions": 12,
            "decoder_target_tokens": 7,
            "decoder_target_positions": 8,
        }
        for name, value in expected.items():
            self.assertEqual(float(metrics[name]), value, name)
        self.assertEqual(float(metrics["loss"]), float(loss))
        self.assertEqual(float(metrics["cross_ent_loss"]), float(loss))
        for name, value in metrics.items():
            self.assertEqual((value.shape, value.dtype), ((), jnp.float32), name)

    def test_correct_counts_weighted_hits(self):
        logits = jax.nn.one_hot(jnp.array([[4, 6, 2, 0], [7, 2, 9, 1]]), 11)
        model = _model()
        model.module = types.SimpleNamespace(apply=lambda *args, **kwargs: logits)
        _, metrics = model.loss_fn({}, _BATCH)
        self.assertEqual(float(metrics["correct"]), 5)

    def test_the_gradient_of_a_part_is_that_part_of_the_gradient(self):
        def loss_of(part):
            params = {**self.params, "encoder": {**self.params["encoder"], "encoder_norm": part}}
            return self.model.loss_fn(params, _BATCH)[0]

        def both(params):
            whole = jax.grad(lambda p: self.model.loss_fn(p, _BATCH)[0])(params)
            return whole["encoder"]["encoder_norm"], jax.grad(loss_of)(
                params["encoder"]["encoder_norm"]
            )

        whole, part = jax.jit(both)(self.params)
        np.testing.assert_allclose(part["scale"], whole["scale"], rtol=1e-5, atol=1e-6)

    def test_a_compiled_step_moves_nothing_between_host_and_device(self):
        step = jax.jit(lambda p, b, r: self.model.loss_fn(p, b, r))
        arguments = jax.device_put((self.params, _BATCH, jax.random.PRNGKey(0)))
        first = step(*arguments)[0].block_until_ready()
        with jax.transfer_guard("disallow"):
            again = step(*arguments)[0].block_until_ready()
        self.assertEqual(float(first), float(again))
        # Dropout was on: a key was given.
        self.assertNotAlmostEqual(
            float(first), float(jax.jit(self.model.loss_fn)(self.params, _BATCH)[0]), places=3
        )

    def test_token_scores(self):
        scores, intermediates = jax.jit(
            lambda p: self.model.score_batch(p, _BATCH, return_intermediates=True)
        )(self.params)
        (token_scores,) = intermediates["decoder"]["token_scores"]
        np.testing.assert_allclose(token_scores.sum(axis=-1), scores, rtol=1e-6)
        self.assertEqual(float(token_scores[0, 3]), 0)
        np.testing.assert_array_equal(intermediates["decoder"]["target_tokens"][0], _TARGETS)

    def test_label_scores_equal_one_label_at_a_time(self):
        labels = np.array([[4, 6, 1, 0], [2, 1, 0, 0], [7, 3, 9, 1]], np.int32)
        actual = jax.jit(self.model.label_scores)(
            self.params, _BATCH["encoder_input_tokens"], labels
        )
        self.assertEqual(actual.shape, (2, 3))
        for c, label in enumerate(labels):
            targets = np.broadcast_to(label, (2, 4))
            batch = {
                **_BATCH,
                "decoder_input_tokens": np.asarray(models.shift_right(jnp.asarray(targets))),
                "decoder_target_tokens": targets,
                "decoder_loss_weights": (targets > 0).astype(np.float32),
            }
            expected = self.score_batch(self.params, batch)
            np.testing.assert_allclose(actual[:, c], expected, rtol=1e-5, atol=1e-5)

    def test_a_beam_scores_what_score_batch_gives(self):
        predict = jax.jit(
            lambda p: self.model.predict_batch_with_aux(
                p, _BATCH, decoder_params={"alpha": 0.0}, num_decodes=3
            )
        )
        checked = 0
        for seed in range(8):
            kernel = jax.random.normal(jax.random.PRNGKey(seed), (8, 11))
            decoder = {**self.params["decoder"], "logits_dense": {"kernel": kernel}}
            params = {**self.params, "decoder": decoder}
            tokens, aux = predict(params)
            ended = np.cumsum(tokens == 1, axis=1) - (tokens == 1) > 0
            batch = {
                **_BATCH,
                "decoder_input_tokens": models.shift_right(tokens),
                "decoder_target_tokens": tokens,
                "decoder_loss_weights": (~ended).astype(np.float32),
            }
            # A random model may write token 0; scoring takes that for padding.
            rows = ((np.asarray(tokens) > 0) | ended).all(axis=1)
            scores = self.score_batch(params, batch)
            np.testing.assert_allclose(aux["scores"][rows], scores[rows], rtol=1e-4)
            checked += int(rows.sum())
        self.assertGreater(checked, 4)

    def test_best_decode_is_the_last_of_all(self):
        defaults = models.DecoderParams(num_decodes=3, return_all_decodes=True)
        model = _model(default_decoder_params=defaults)
        every, aux = jax.jit(model.predict_batch_with_aux)(self.params, _BATCH)
        best, best_aux = jax.jit(
            lambda p: self.model.predict_batch_with_aux(p, _BATCH, num_decodes=3)
        )(self.params)
        np.testing.assert_array_equal(every[:, -1], best)
        np.testing.assert_array_equal(aux["scores"][:, -1], best_aux["scores"])

    def test_targets_can_be_a_prefix(self):
        model = _model(decode_fn=decoding.temperature_sample)
        batch = {**_BATCH, "decoder_input_tokens": np.array([[0, 4, 1, 0], [0, 7, 3, 0]])}
        tokens = jax.jit(
            lambda p: model.predict_batch_with_aux(p, batch, prompt_with_targets=True)[0]
        )(self.params)
        self.assertEqual(int(tokens[0, 0]), 4)
        np.testing.assert_array_equal(tokens[1, :2], [7, 3])

    def test_one_source_of_randomness(self):
        key = jax.random.PRNGKey(0)
        with self.assertRaisesRegex(ValueError, "decode_rng"):
            self.model.predict_batch_with_aux(
                self.params, _BATCH, key, decoder_params={"decode_rng": key}
            )

    def test_a_search_sees_what_it_is_promised(self):
        seen = {}

        def spy(**arguments):
            seen.update(arguments)
            return jnp.zeros((2, 5, 4), jnp.int32), jnp.zeros((2, 5))

        model = _model(decode_fn=spy)
        tokens = model.predict_batch(self.params, _BATCH, jax.random.PRNGKey(3))
        self.assertEqual(tokens.shape, (2, 4))
        self.assertEqual((seen["eos_id"], seen["num_decodes"]), (1, 1))
        np.testing.assert_array_equal(seen["inputs"], 0)
        np.testing.assert_array_equal(seen["decode_rng"], jax.random.PRNGKey(3))

    def test_the_end_token_defaults_to_one(self):
        model = models.EncoderDecoderModel(network.Transformer(_CONFIG), None, None, None)
        self.assertEqual(model.eos_id, 1)
        model.output_vocabulary = types.SimpleNamespace(eos_id=7)
        self.assertEqual(model.eos_id, 7)

    def test_rows_are_separate_where_every_term_of_the_loss_is_a_sum_over_them(self):
        def separate(model_class=models.EncoderDecoderModel, dropout_rate=0.0, **settings):
            module = network.Transformer(_CONFIG.replace(dropout_rate=dropout_rate))
            return model_class(module, None, None, None, **settings).rows_are_separate

        class WithATermOfTheBatch(models.EncoderDecoderModel):
            def loss_fn(self, params, batch, dropout_rng=None, **extra):
                loss, metrics = super().loss_fn(params, batch, dropout_rng, **extra)
                return loss + 1.0, metrics

        self.assertTrue(separate())
        self.assertTrue(separate(loss_normalizing_factor=3.0, z_loss=1e-4))
        self.assertFalse(separate(loss_normalizing_factor="NUM_REAL_TARGET_TOKENS"))
        self.assertFalse(separate(dropout_rate=0.1))
        self.assertFalse(separate(WithATermOfTheBatch))

    def test_packed_batches_are_refused(self):
        batch = {**_BATCH, "encoder_segment_ids": np.ones((2, 6))}
        with self.assertRaisesRegex(ValueError, "encoder_segment_ids.*pack = False"):
            self.model.loss_fn(self.params, batch)

    @parameterized.parameters(
        ({"label_smoothing": 1.0}, "LABEL_SMOOTHING"),
        ({"z_loss": -1.0}, "Z_LOSS"),
        ({"loss_normalizing_factor": "PER_TOKEN"}, "LOSS_NORMALIZING_FACTOR"),
    )
    def test_settings_out_of_range(self, settings, macro):
        with self.assertRaisesRegex(ValueError, macro):
            _model(**settings)

    def test_what_others_need_is_kept(self):
        model = _model(feature_converter_cls=dict)
        self.assertEqual(model.optimizer_def, "adafactor")
        self.assertIs(model.feature_converter_cls, dict)
        self.assertIsNone(model.input_vocabulary)

    def test_the_graph_does_not_grow_with_the_batch(self):
        def size(rows):
            batch = {k: jnp.tile(v, (rows, 1)) for k, v in _BATCH.items()}
            step = jax.grad(lambda p: self.model.loss_fn(p, batch)[0])
            return len(jax.make_jaxpr(step)(self.params).jaxpr.eqns)

        self.assertEqual(size(1), size(8))
        self.assertLess(size(1), 700)


if __name__ == "__main__":
    absltest.main()
