# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.models import network
from prompt_tuning.prompts import (
    combine,
    extended_masks,
    masked_network,
    prompt,
    prompted_network,
)

jax.config.update("jax_numpy_rank_promotion", "raise")

P, H = 3, 8
PP = extended_masks.PROMPT_PROMPT
PI = extended_masks.PROMPT_INPUT
CONFIG = network.T5Config(
    vocab_size=16,
    emb_dim=H,
    num_heads=2,
    head_dim=4,
    mlp_dim=12,
    num_encoder_layers=2,
    num_decoder_layers=1,
    dtype="float32",
)
TOKENS = np.array([[5, 6, 7, 1], [8, 1, 0, 0]], np.int32)
TARGETS = np.array([[4, 1], [1, 0]], np.int32)


@functools.cache
def make_model(*allowed, plain=False):
    encoder_class = functools.partial(
        masked_network.MaskedPromptedEncoder, allowable_attention=allowed
    )
    return prompted_network.PromptedTransformer(
        CONFIG,
        prompt_factory=lambda: combine.Prompt(prompt.Prompt(P, jax.nn.initializers.normal(1.0))),
        encoder_class=prompted_network.PromptedEncoder if plain else encoder_class,
    )


@functools.cache
def variables():
    return jax.jit(make_model().init)(jax.random.key(0), TOKENS, TARGETS, TARGETS)


@functools.partial(jax.jit, static_argnums=0)
def _encode(model, variables, tokens, **extra):
    return model.apply(variables, tokens, method="encode", **extra)[0]


def encode(model, tokens=TOKENS, **extra):
    return _encode(model, variables(), tokens, **extra)


class MaskedPromptedEncoderTest(parameterized.TestCase):
    def test_full_attention_is_the_plain_encoder(self):
        np.testing.assert_array_equal(encode(make_model(PP, PI)), encode(make_model(plain=True)))

    def test_mask_is_that_of_the_function(self):
        model = make_model(PI)
        _, live = model.apply(variables(), TOKENS, method="encode")
        mask = model.apply(
            variables(), TOKENS, live, method=lambda m, *args: m.encoder.attention_mask(*args)
        )
        expected = extended_masks.prompt_encoder_attention_mask(P, {PI})(TOKENS)
        np.testing.assert_array_equal(mask, expected)

    def test_prompt_that_sees_no_input_does_not_depend_on_it(self):
        other = np.array([[9, 2, 3, 1], [4, 1, 0, 0]], np.int32)
        blind, seeing = make_model(PP), make_model(PP, PI)
        np.testing.assert_array_equal(encode(blind)[:, :P], encode(blind, other)[:, :P])
        self.assertGreater(np.abs(encode(seeing)[:, :P] - encode(seeing, other)[:, :P]).max(), 0.1)

    def test_prompts_given_for_the_batch(self):
        """Each of its own length, and none at all."""
        prompts = np.random.RandomState(0).normal(size=(2, P, H)).astype(np.float32)
        live = np.array([[True] * P, [True, False, False]])
        together = encode(make_model(PI), prompt=prompts, prompt_live=live)
        alone = encode(make_model(PI), TOKENS[1:], prompt=prompts[1, :1])
        np.testing.assert_allclose(together[1, :3], alone[0, :3], atol=1e-5)
        without = jnp.zeros((0, H))
        np.testing.assert_array_equal(
            encode(make_model(), prompt=without), encode(make_model(plain=True), prompt=without)
        )


if __name__ == "__main__":
    absltest.main()
