# SPDX-License-Identifier: Apache-2.0
"""The network, its scores, its search and Adafactor against `reference_t5`, at sizes without goldens.

Other widths, prompts of 128 and more positions, relative distances beyond 128, steps near 1.1 M.
"""

import dataclasses
import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.models import layers, models, network
from prompt_tuning.prompts import combine, prompted_network
from prompt_tuning.prompts import prompt as prompts
from prompt_tuning.training import adafactor, optimizers, schedules
from prompt_tuning.training import trainer as trainer_lib
from tests.compatibility import reference_t5

jax.config.update("jax_numpy_rank_promotion", "raise")

_PROMPT = "encoder/prompt/prompt/prompt"
_VOCABULARY = 96

# {name: (embed, heads, head_dim, mlp, encoder layers, decoder layers, P, T, L)}
_SHAPES = {
    "narrow_joined": (24, 3, 4, 20, 1, 2, 5, 9, 6),
    "wide_joined": (8, 5, 8, 33, 2, 1, 1, 17, 4),
    "long_prompt": (16, 2, 8, 24, 2, 1, 130, 12, 5),
    "far_apart": (12, 2, 6, 16, 1, 1, 3, 300, 7),
    "long_targets": (12, 2, 6, 16, 1, 1, 2, 6, 150),
}
# Both sides of its prompt are long enough for a factored second moment.
_FACTORED = {"factored": (160, 2, 8, 24, 1, 1, 130, 6, 3)}


@functools.cache
def _made(name: str):
    """(model, flat float32 weights, prompt, batch) with random values from the shape's name."""
    shape = (_SHAPES | _FACTORED)[name]
    width, heads, head_dim, mlp, encoder, decoder, length, inputs, targets = shape
    config = network.T5Config(
        vocab_size=_VOCABULARY,
        emb_dim=width,
        num_heads=heads,
        head_dim=head_dim,
        mlp_dim=mlp,
        num_encoder_layers=encoder,
        num_decoder_layers=decoder,
        dtype="float32",
    )
    module = prompted_network.PromptedTransformer(
        config,
        prompt_factory=lambda: combine.Prompt(prompts.Prompt(length, nn.initializers.uniform(0.5))),
    )
    model = models.EncoderDecoderModel(module, None, None, None, z_loss=1e-4, label_smoothing=0.1)
    shapes = {"encoder_input_tokens": (1, inputs), "decoder_input_tokens": (1, targets)}
    variables = jax.jit(lambda key: model.get_initial_variables(key, shapes))(jax.random.key(0))
    flat = traverse_util.flatten_dict(nn.meta.unbox(variables["params"]), sep="/")
    random = np.random.RandomState(len(name))
    # Trained norms and position biases are far from 1 and 0.
    weights = {
        name: np.asarray(value) + 0.3 * random.normal(size=value.shape).astype(np.float32)
        for name, value in sorted(flat.items())
    }
    prompt = weights.pop(_PROMPT)
    tokens = random.randint(2, _VOCABULARY, size=(3, inputs)).astype(np.int32)
    tokens[1, inputs // 2 :] = 0
    rows = random.randint(2, _VOCABULARY, size=(3, targets)).astype(np.int32)
    rows[:, -1] = 1
    rows[2, targets // 2 :] = 0
    batch = {
        "encoder_input_tokens": tokens,
        "decoder_input_tokens": np.pad(rows[:, :-1], ((0, 0), (1, 0))),
        "decoder_target_tokens": rows,
        "decoder_loss_weights": (rows > 0).astype(np.int32),
    }
    return model, weights, prompt, batch, reference_t5.ReferenceT5(weights, heads)


def _nested(weights, prompt):
    return traverse_util.unflatten_dict({**weights, _PROMPT: prompt}, sep="/")


class NetworkTest(parameterized.TestCase):
    @parameterized.parameters(*_SHAPES)
    def test_encoded(self, name):
        model, weights, prompt, batch, reference = _made(name)
        encode = jax.jit(
            lambda params, tokens: model.module.apply(
                {"params": params}, tokens, True, method="encode"
            )
        )
        encoded, live = encode(_nested(weights, prompt), batch["encoder_input_tokens"])
        for row, tokens in enumerate(batch["encoder_input_tokens"]):
            expected, expected_live = reference.encode(tokens, prompt)
            np.testing.assert_array_equal(live[row], expected_live)
            np.testing.assert_allclose(encoded[row], expected, rtol=1e-4, atol=1e-4)

    @parameterized.parameters(*_SHAPES)
    def test_score_batch(self, name):
        model, weights, prompt, batch, reference = _made(name)
        scores = jax.jit(model.score_batch)(_nested(weights, prompt), batch)
        for row, targets in enumerate(batch["decoder_target_tokens"]):
            targets = targets[targets > 0]
            tokens = batch["encoder_input_tokens"][row]
            expected = reference.target_log_probs(tokens, prompt, targets).sum()
            np.testing.assert_allclose(scores[row], expected, rtol=2e-5)

    @parameterized.parameters(*_SHAPES)
    def test_loss_and_gradient(self, name):
        model, weights, prompt, batch, reference = _made(name)

        def loss(prompt):
            return model.loss_fn(_nested(weights, prompt), batch, None)[0]

        value, gradient = jax.jit(jax.value_and_grad(loss))(prompt)
        reference_loss = functools.partial(reference.loss, batch, z_loss=1e-4, label_smoothing=0.1)
        np.testing.assert_allclose(value, reference_loss(prompt), rtol=1e-5)
        direction = np.random.RandomState(0).normal(size=prompt.shape)
        size = 1e-4
        ahead, behind = (reference_loss(prompt + sign * size * direction) for sign in (1, -1))
        slope = (ahead - behind) / (2 * size)
        along = np.sum(np.asarray(gradient, np.float64) * direction)
        scale = np.linalg.norm(gradient) * np.linalg.norm(direction) / np.sqrt(prompt.size)
        self.assertLess(abs(along - slope), 2e-4 * max(scale, abs(slope)))

    @parameterized.product(name=("narrow_joined", "far_apart"), beams=(1, 3), alpha=(0.0, 0.6))
    def test_beam_search(self, name, beams, alpha):
        model, weights, prompt, batch, reference = _made(name)
        length = 5
        tokens, aux = jax.jit(
            lambda params, inputs: model.predict_batch_with_aux(
                params,
                {
                    "encoder_input_tokens": inputs,
                    "decoder_input_tokens": jnp.zeros((1, length), jnp.int32),
                },
                decoder_params={"alpha": alpha},
                num_decodes=beams,
                return_all_decodes=True,
            )
        )(_nested(weights, prompt), batch["encoder_input_tokens"][:1])
        expected = reference.beams(batch["encoder_input_tokens"][0], prompt, length, beams, alpha)
        for rank, (score, sequence) in enumerate(expected, start=1):
            padded = [*sequence, *[0] * (length - len(sequence))]
            self.assertEqual(tokens[0, -rank].tolist(), padded)
            np.testing.assert_allclose(aux["scores"][0, -rank], score, rtol=1e-4)

    @parameterized.parameters(True, False)
    def test_position_buckets_far_beyond_the_last(self, both):
        distances = np.arange(-700, 701)
        found = layers.relative_position_buckets(distances, both, 32, 128)
        expected = [reference_t5.position_bucket(int(d), both) for d in distances]
        np.testing.assert_array_equal(found, expected)


@dataclasses.dataclass(frozen=True)
class _RecordingAdafactor(adafactor.Adafactor):
    """Adafactor that keeps the prompt's gradients that it was given."""

    recorded: list[np.ndarray] = dataclasses.field(default_factory=list, compare=False)

    def update(self, grads, *args, **kwargs):
        jax.debug.callback(lambda grad: self.recorded.append(np.array(grad)), grads[_PROMPT])
        return super().update(grads, *args, **kwargs)


class AdafactorTest(parameterized.TestCase):
    @settings(max_examples=12, deadline=None, derandomize=True)
    @given(
        shape=st.sampled_from(
            [(5, 16), (100, 160), (127, 300), (128, 128), (150, 256), (200, 130)]
        ),
        step=st.sampled_from([0, 7, 1_000_000, 1_100_000, 1_149_999]),
        spread=st.sampled_from([1e-12, 1e-3, 1.0, 1e4]),
        seed=st.integers(0, 2**31 - 1),
    )
    def test_updates(self, shape, step, spread, seed):
        """Unfactored below 128 positions, factored from there, at any size of gradients."""
        random = np.random.RandomState(seed)
        start = random.uniform(-1, 1, shape).astype(np.float32)
        grads = (spread * random.normal(size=(4, *shape))).astype(np.float32)
        optimizer = adafactor.Adafactor(multiply_by_parameter_scale=False, weight_decay_rate=1e-5)
        params = {"p": jnp.asarray(start)}
        slots = optimizer.init(params)
        self.assertEqual(slots["p"]["v_row"].shape != (1,), min(shape) >= 128)
        update = jax.jit(optimizer.update)
        expected = reference_t5.adafactor(start, grads, step, 0.3)
        for index, grad in enumerate(grads):
            params, slots = update(
                {"p": jnp.asarray(grad)}, slots, params, jnp.int32(step + index), 0.3
            )
            np.testing.assert_allclose(params["p"], expected[index], rtol=0, atol=1e-4)

    def test_trainer_from_a_restored_step_with_factored_moments(self):
        """Three steps of a prompt [130, 160] in the whole model."""
        step = 1_100_000
        model, weights, prompt, batch, _ = _made("factored")
        traversal = optimizers.ModelParamTraversal(optimizers.match_any([".*/prompt/.*"]))
        optimizer = _RecordingAdafactor(multiply_by_parameter_scale=False, weight_decay_rate=1e-5)
        trainer = trainer_lib.Trainer(
            model,
            optimizers.MultiOptimizer([(traversal, optimizer)]),
            schedules.create_learning_rate_scheduler("constant", 0.3),
            rng=jax.random.key(0),
        )

        @jax.jit
        def gradient(prompt):
            return jax.grad(lambda p: model.loss_fn(_nested(weights, p), batch, None)[0])(prompt)

        state, frozen = trainer.init_state({**weights, _PROMPT: prompt}, step)
        recomputed, found = [], []
        for _ in range(3):
            recomputed.append(np.asarray(gradient(state.params[_PROMPT])))
            state, _ = trainer.train_step(state, frozen, batch)
            found.append(np.asarray(state.params[_PROMPT]))
            jax.effects_barrier()  # The gradient has been recorded.
        self.assertEqual(int(state.step), step + 3)
        self.assertEqual(state.opt_state[_PROMPT]["v_row"].size, 130)
        self.assertLen(optimizer.recorded, 3)
        for grad, other in zip(optimizer.recorded, recomputed, strict=True):
            self.assertLess(np.linalg.norm(grad - other), 1e-4 * np.linalg.norm(grad))
        # The reference gets the gradients that the step itself used; then only the rounding of
        # float32 is left. Those of another compilation will not do: a position's gradient may round
        # otherwise by 6e-5 of its norm (seen in the third step), and Adafactor divides by that norm
        # however small it is, so that the prompt moves otherwise by up to 1e-4.
        expected = reference_t5.adafactor(prompt, optimizer.recorded, step, 0.3)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)

    def test_late_steps_move_the_prompt_by_the_learning_rate(self):
        """At the base model's step the clipped update has a root mean square of exactly 1."""
        random = np.random.RandomState(0)
        grads = random.normal(size=(3, 100, 64)).astype(np.float32)
        start = np.zeros((100, 64))
        trace = [start, *reference_t5.adafactor(start, grads, 1_100_000, 0.3)]
        for before, after in itertools.pairwise(trace):
            self.assertAlmostEqual(float(np.sqrt(np.mean((after - before) ** 2))), 0.3, places=4)


if __name__ == "__main__":
    absltest.main()
