# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.models import network
from prompt_tuning.prompts import (
    combine,
    extended_masks,
    masked_network,
    multitask_network,
    multitask_prompt,
    prompt,
    prompted_network,
)

jax.config.update("jax_numpy_rank_promotion", "raise")

P, H = 3, 8
CONFIG = network.T5Config(
    vocab_size=16,
    emb_dim=H,
    num_heads=2,
    head_dim=4,
    mlp_dim=12,
    num_encoder_layers=1,
    num_decoder_layers=1,
    dtype="float32",
)
# The first column is the task.
TOKENS = np.array([[1, 5, 6, 7, 1], [0, 8, 1, 0, 0]], np.int32)
TARGETS = np.array([[4, 1], [1, 0]], np.int32)
PLACEMENTS = (combine.prefix_prompt, combine.prefix_prompt_after_bos, combine.suffix_prompt)


@functools.cache
def make_model(placement=combine.prefix_prompt, prompt_class=multitask_prompt.AddMultiTaskPrompt):
    def make_prompt():
        return multitask_network.MultiTaskPrompt(
            prompt_class(P, num_tasks=2, tasks_init=jax.nn.initializers.normal(1.0)), placement
        )

    return prompted_network.PromptedTransformer(
        CONFIG, prompt_factory=make_prompt, encoder_class=multitask_network.MultiTaskEncoder
    )


@functools.cache
def init(model):
    return jax.jit(model.init)(jax.random.key(0), TOKENS, TARGETS, TARGETS)


@functools.partial(jax.jit, static_argnums=0)
def encode(model, variables, tokens, **extra):
    return model.apply(variables, tokens, method="encode", **extra)


def reference(placement):
    """The same network with an ordinary prompt, which knows no tasks."""
    return prompted_network.PromptedTransformer(
        CONFIG,
        prompt_factory=lambda: combine.Prompt(prompt.Prompt(P), placement),
        encoder_class=masked_network.MaskedPromptedEncoder,
    )


class MultiTaskEncoderTest(parameterized.TestCase):
    def test_parameters(self):
        names = traverse_util.flatten_dict(init(make_model())["params"]["encoder"], sep="/")
        self.assertEqual(
            {name for name in names if name.startswith("prompt/")},
            {"prompt/prompt/shared_prompt", "prompt/prompt/task_prompts/embedding"},
        )

    @parameterized.parameters(*PLACEMENTS)
    def test_each_example_is_encoded_as_with_its_tasks_prompt(self, placement):
        model = make_model(placement)
        encoded, live = encode(model, init(model), TOKENS)
        self.assertEqual(encoded.shape, (2, P + 4, H))
        np.testing.assert_array_equal(live, [[1] * 7, [1] * 5 + [0] * 2])
        parts = init(model)["params"]["encoder"]["prompt"]["prompt"]
        tasks = parts["task_prompts"]["embedding"].reshape(2, P, H)
        for row, task in enumerate((1, 0)):
            alone, _ = encode(
                reference(placement),
                init(model),
                TOKENS[row : row + 1, 1:],
                prompt=parts["shared_prompt"] + tasks[task],
            )
            np.testing.assert_allclose(encoded[row], alone[0], atol=1e-5)

    @parameterized.parameters(*PLACEMENTS)
    def test_module_alone_places_what_the_encoder_places(self, placement):
        """The encoder only needs the prompts of it; both have to agree."""
        model = make_model(placement)

        def both(model):
            x_embed = model.token_embedder(TOKENS)
            return model.encoder.embed(TOKENS)[0], model.encoder.prompt(TOKENS, x_embed)

        by_encoder, by_module = model.apply(init(model), method=both)
        np.testing.assert_array_equal(by_encoder, by_module)

    def test_attention_is_causal_in_the_prompt(self):
        model = make_model()
        _, live = encode(model, init(model), TOKENS)
        mask = model.apply(
            init(model), TOKENS, live, method=lambda m, *args: m.encoder.attention_mask(*args)
        )
        expected = extended_masks.prompt_encoder_attention_mask(P, multitask=True)(TOKENS)
        np.testing.assert_array_equal(mask, expected)

    def test_prompts_may_be_longer_than_the_shared_part(self):
        model = make_model(prompt_class=multitask_prompt.ConcatMultiTaskPrompt)
        encoded, _ = encode(model, init(model), TOKENS)
        self.assertEqual(encoded.shape, (2, 2 * P + 4, H))

    def test_a_prompt_that_is_given_is_that_of_every_task(self):
        model, given = make_model(), jnp.ones((P, H))
        encoded, _ = encode(model, init(model), TOKENS, prompt=given)
        other_tasks = np.concatenate([1 - TOKENS[:, :1], TOKENS[:, 1:]], axis=1)
        again, _ = encode(model, init(model), other_tasks, prompt=given)
        np.testing.assert_array_equal(encoded, again)
        with self.assertRaisesRegex(ValueError, "without prompt"):
            encode(model, init(model), TOKENS, prompt_live=jnp.ones((2, P), bool))


if __name__ == "__main__":
    absltest.main()
