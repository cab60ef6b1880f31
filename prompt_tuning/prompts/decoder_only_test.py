# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.models import decoder_only_model, decoder_only_network, decoding, network
from prompt_tuning.prompts import combine, decoder_only, extended_masks, masks, prompt

jax.config.update("jax_numpy_rank_promotion", "raise")

P, H, L, V = 3, 8, 6, 12
CONFIG = network.T5Config(
    vocab_size=V,
    emb_dim=H,
    num_heads=2,
    head_dim=3,
    mlp_dim=12,
    num_encoder_layers=1,
    num_decoder_layers=2,
    dtype="float32",
)
BATCH = {
    "decoder_input_tokens": np.array([[0, 5, 6, 7, 4, 0], [0, 8, 9, 4, 0, 0]], np.int32),
    "decoder_target_tokens": np.array([[5, 6, 7, 4, 1, 0], [8, 9, 4, 1, 0, 0]], np.int32),
    "decoder_loss_weights": np.array([[0, 0, 1, 1, 1, 0], [0, 1, 1, 1, 0, 0]], np.float32),
    "decoder_causal_attention": np.array([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]], np.int32),
}
TOKENS = (BATCH["decoder_input_tokens"], BATCH["decoder_target_tokens"])
_greedy = functools.partial(decoding.temperature_sample, temperature=0.0)


def make_prompt():
    return combine.Prompt(prompt.Prompt(P, jax.nn.initializers.normal(1.0)))


def make_network(mask_factory=None):
    return decoder_only.PromptDecoderOnly(
        CONFIG, prompt_factory=make_prompt, decoder_mask_factory=mask_factory
    )


def make_model(length=P, bidirectional=False):
    return decoder_only.PromptDecoderOnlyModel(
        length, make_network(), None, None, _greedy, bidirectional
    )


@functools.cache
def params():
    return jax.jit(make_network().init)(jax.random.key(0), *TOKENS)["params"]


def own_prompt():
    return params()["decoder"]["prompt"]["prompt"]["prompt"]


def without_prompt():
    flat = traverse_util.flatten_dict(params(), sep="/")
    return traverse_util.unflatten_dict(
        {name: value for name, value in flat.items() if "prompt" not in name}, sep="/"
    )


class PromptDecoderOnlyTest(parameterized.TestCase):
    def test_prompt_is_the_only_parameter_beside_the_plain_networks(self):
        plain = jax.eval_shape(
            decoder_only_network.DecoderOnly(CONFIG).init, jax.random.key(0), *TOKENS
        )
        names = traverse_util.flatten_dict(params(), sep="/")
        plain_names = traverse_util.flatten_dict(plain["params"], sep="/")
        self.assertEqual(set(names) - set(plain_names), {"decoder/prompt/prompt/prompt"})
        self.assertEqual(names["decoder/prompt/prompt/prompt"].shape, (P, H))
        self.assertEqual(names["decoder/prompt/prompt/prompt"].dtype, jnp.float32)

    def test_networks_with_the_same_prompt_are_equal(self):
        self.assertEqual(make_network(), make_network())
        self.assertEqual(hash(make_network()), hash(make_network()))

    @parameterized.parameters(False, True)
    def test_default_mask_is_upstreams(self, prefix):
        marks = BATCH["decoder_causal_attention"] if prefix else None
        mask = make_network().apply(
            {"params": params()},
            TOKENS[1],
            marks,
            P,
            method=lambda m, *args: m.decoder.attention_mask(*args),
        )
        expected = masks.create_prompt_decoder_only_mask(P)(TOKENS[1], marks)
        np.testing.assert_array_equal(mask, expected)

    def test_other_masks(self):
        marks = BATCH["decoder_causal_attention"]

        def logits(allowed):
            def make_mask():
                return extended_masks.prompt_decoder_attention_mask(P, allowed)

            module = make_network(make_mask if allowed is not None else None)
            return jax.jit(module.apply)({"params": params()}, *TOKENS, marks)

        full = (extended_masks.PROMPT_PROMPT, extended_masks.PROMPT_INPUT)
        np.testing.assert_allclose(logits(full), logits(None), atol=1e-6)
        self.assertGreater(np.abs(logits(()) - logits(None)).max(), 1e-3)

    def test_mask_of_another_length(self):
        module = make_network(lambda: masks.create_prompt_decoder_only_mask(P + 1))
        with self.assertRaisesRegex(ValueError, "4 prompt positions, and the prompt has 3"):
            module.apply({"params": params()}, *TOKENS)

    def test_prompts_that_are_given(self):
        apply = jax.jit(make_network().apply)
        own = apply({"params": params()}, *TOKENS)
        again = apply({"params": params()}, *TOKENS, prompt=own_prompt())
        np.testing.assert_allclose(again, own, atol=1e-5)
        both = jnp.stack([own_prompt(), -own_prompt()])
        mixed = apply({"params": params()}, *TOKENS, prompt=both)
        np.testing.assert_allclose(mixed[0], own[0], atol=1e-5)
        self.assertGreater(np.abs(mixed[1] - own[1]).max(), 0.01)
        none = apply({"params": params()}, *TOKENS, prompt=jnp.zeros((0, H)))
        plain = jax.jit(decoder_only_network.DecoderOnly(CONFIG).apply)
        expected = plain({"params": without_prompt()}, *TOKENS)
        np.testing.assert_allclose(none, expected, atol=1e-5)


class PromptDecoderOnlyModelTest(parameterized.TestCase):
    def test_prompt_alone_gets_a_gradient_at_every_row(self):
        gradient = jax.jit(jax.grad(lambda p: make_model().loss_fn(p, BATCH)[0]))(params())
        gradient = gradient["decoder"]["prompt"]["prompt"]["prompt"]
        self.assertGreater(np.abs(gradient).max(axis=1).min(), 0)

    @parameterized.parameters(False, True)
    def test_first_token_of_a_search_is_that_of_the_whole_network(self, bidirectional):
        marks = BATCH["decoder_causal_attention"]
        logits = jax.jit(make_network().apply)(
            {"params": params()},
            BATCH["decoder_input_tokens"] * marks,
            marks,
            marks if bidirectional else None,
        )
        tokens = jax.jit(make_model(bidirectional=bidirectional).predict_batch)(params(), BATCH)
        self.assertEqual(tokens.shape, (2, L))
        best = np.asarray(logits).argmax(axis=-1)
        np.testing.assert_array_equal(tokens[:, 0], best[np.arange(2), [2, 1]])

    def test_search_without_a_prompt_is_the_plain_models(self):
        plain = decoder_only_model.DecoderOnlyModel(
            decoder_only_network.DecoderOnly(CONFIG), None, None, _greedy
        )
        predict = jax.jit(make_model().predict_batch)
        np.testing.assert_array_equal(
            predict(params(), BATCH, prompt=jnp.zeros((0, H))),
            jax.jit(plain.predict_batch)(without_prompt(), BATCH),
        )

    def test_length_that_is_not_the_networks(self):
        with self.assertRaisesRegex(ValueError, "prompt_length is 5, .* has 3"):
            make_model(length=5)


if __name__ == "__main__":
    absltest.main()
