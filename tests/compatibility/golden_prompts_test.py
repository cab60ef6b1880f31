# SPDX-License-Identifier: Apache-2.0
"""Prompts against numbers that google-research/prompt-tuning, T5X and Flaxformer produced.

The weights behind the numbers are random; what is compared is arithmetic: the draws of the
initializers, placement, masks, and whole models with each placement.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.models import network
from prompt_tuning.prompts import combine, initializers, masks, prompt, prompted_network

jax.config.update("jax_numpy_rank_promotion", "raise")

_ROOT = pathlib.Path(__file__).parents[2]
_NUMBERS = _ROOT / "prompt_tuning/prompts/testdata/upstream_numbers.npz"
_MODEL = _ROOT / "tests/testdata/golden_a"
_CHECKPOINTS = _ROOT / "tests/testdata/golden_checkpoints"
_P, _H = 7, 16
_PROMPT = "encoder/prompt/prompt/prompt"
_CONFIG = network.T5Config(
    vocab_size=384,
    emb_dim=_H,
    num_heads=4,
    head_dim=6,
    mlp_dim=40,
    num_encoder_layers=2,
    num_decoder_layers=3,
    dtype="float32",
)


@functools.cache
def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def _golden(name: str) -> np.ndarray:
    return _arrays(_NUMBERS)[name]


def _model_array(name: str) -> np.ndarray:
    return _arrays(_MODEL / "model.npz")[name]


class Words:
    """The stand-in vocabulary of the reference numbers."""

    _IDS = {
        "alpha": [5],
        "beta gamma": [6, 7, 8],
        "delta": [300, 12],
        "string": [9, 200, 31, 44, 31],
    }

    def encode(self, s: str) -> list[int]:
        return self._IDS[s]


def _table() -> np.ndarray:
    return _arrays(_MODEL / "params.npz")["token_embedder/embedding"]


def _sample(population):
    return initializers.from_sample_of_embeddings(_table(), population)


def _embedded_list(filler=None):
    texts = ["alpha", "beta gamma", "delta"]
    return initializers.from_embedded_list(_table(), Words(), texts, filler)


def _embedded_string(filler=None):
    return initializers.from_embedded_string(_table(), Words(), "string", filler)


def _zeros(rng, shape):
    del rng
    return jnp.zeros(shape)


class InitializerTest(parameterized.TestCase):
    @parameterized.product(key=[0, 1, 2], population=[50, None], partitionable=[True, False])
    def test_sampled_vocabulary(self, key, population, partitionable):
        suffix = "" if partitionable else "_nonpartitionable"
        with jax.threefry_partitionable(partitionable):
            drawn = _sample(population)(jax.random.PRNGKey(key), (_P, _H))
        np.testing.assert_array_equal(
            drawn, _golden(f"init/sample_pop{population}_key{key}{suffix}")
        )

    @parameterized.product(key=[0, 1, 2], partitionable=[True, False])
    def test_uniform(self, key, partitionable):
        suffix = "" if partitionable else "_nonpartitionable"
        with jax.threefry_partitionable(partitionable):
            drawn = initializers.uniform(0.5)(jax.random.PRNGKey(key), (_P, _H))
        np.testing.assert_array_equal(drawn, _golden(f"init/uniform0.5_key{key}{suffix}"))

    @parameterized.parameters(0, 1, 2)
    def test_uniform_in_the_model(self, key):
        tokens = jnp.ones((1, 2), jnp.int32)
        model = _model(initializers.uniform(0.5), combine.prefix_prompt)
        variables = jax.jit(model.init)(jax.random.PRNGKey(key), tokens, tokens, tokens)
        drawn = variables["params"]["encoder"]["prompt"]["prompt"]["prompt"]
        np.testing.assert_array_equal(drawn, _golden(f"init/in_model_uniform0.5_key{key}"))

    @parameterized.parameters(
        ("embedded_list_zero", _embedded_list, _zeros, 0, _P),
        ("embedded_list_len2_zero", _embedded_list, _zeros, 0, 2),
        ("embedded_list_default_key0", _embedded_list, None, 0, _P),
        ("embedded_list_sample50_key1", _embedded_list, 50, 1, _P),
        ("embedded_string_zero", _embedded_string, _zeros, 0, _P),
        ("embedded_string_len3_zero", _embedded_string, _zeros, 0, 3),
    )
    def test_embedded_text(self, name, factory, filler, key, length):
        filler = _sample(filler) if isinstance(filler, int) else filler
        value = factory(filler)(jax.random.PRNGKey(key), (length, _H))
        np.testing.assert_array_equal(value, _golden(f"init/{name}"))

    def test_t5x_load(self):
        loaded = initializers.t5x_load(_CHECKPOINTS, "token_embedder/embedding")
        np.testing.assert_array_equal(loaded, _table())

    def test_np_load_of_a_saved_prompt(self):
        loaded = {}
        for run, dtype in (("prompt_run", np.float32), ("prompt_run_bf16", jnp.bfloat16)):
            folder = _CHECKPOINTS / run / "numpy_checkpoints/checkpoint_1010"
            loaded[run] = initializers.np_load(folder / _PROMPT.replace("/", "."))
            self.assertEqual(loaded[run].shape, (_P, _H))
            self.assertEqual(loaded[run].dtype, dtype)
        np.testing.assert_array_equal(
            loaded["prompt_run"].astype(jnp.bfloat16), loaded["prompt_run_bf16"]
        )


_suffix = functools.partial(functools.partial, combine.suffix_prompt)


class CombineTest(parameterized.TestCase):
    @parameterized.parameters(
        ("prefix", combine.prefix_prompt, "x"),
        ("after_bos", combine.prefix_prompt_after_bos, "x"),
        ("suffix_beforeeos0", _suffix(before_eos=False), "x"),
        ("suffix_beforeeos1", _suffix(before_eos=True), "x"),
        ("suffix_deconly_beforeeos0", _suffix(decoder_only=True, before_eos=False), "x_bos"),
        ("suffix_deconly_beforeeos1", _suffix(decoder_only=True, before_eos=True), "x_bos"),
    )
    def test_placement(self, name, function, tokens):
        x, x_embed = _golden(f"combine/{tokens}"), _golden("combine/x_embed")
        expanded = prompt.expand_to_batch(_golden("combine/prompt"), x)
        np.testing.assert_array_equal(function(expanded, x_embed, x), _golden(f"combine/{name}"))


class MaskTest(parameterized.TestCase):
    def test_add_fake_prompt(self):
        tokens = _golden("mask/enc")
        np.testing.assert_array_equal(
            masks.add_fake_prompt(_P)(tokens), _golden("mask/add_fake_prompt")
        )
        np.testing.assert_array_equal(
            masks.add_fake_prompt(_P, multitask=True)(tokens),
            _golden("mask/add_fake_prompt_multitask"),
        )

    def test_encoder(self):
        mask = masks.create_prompt_encoder_mask(_P)(_golden("mask/enc"))
        np.testing.assert_array_equal(mask, _golden("mask/encoder"))

    def test_decoder_only(self):
        decoder_mask = masks.create_prompt_decoder_only_mask(_P)
        targets, prefix = _golden("mask/dec_targets"), _golden("mask/causal_attention")
        np.testing.assert_array_equal(decoder_mask(targets, None), _golden("mask/decoder_only"))
        np.testing.assert_array_equal(
            decoder_mask(targets, prefix), _golden("mask/decoder_only_prefix")
        )


def _model(prompt_init, placement):
    def make_prompt():
        return combine.Prompt(prompt.Prompt(_P, prompt_init), placement)

    return prompted_network.PromptedTransformer(_CONFIG, prompt_factory=make_prompt)


def _encode(model, **extra):
    """Encoded input and live positions on the reference weights."""
    flat = {**_arrays(_MODEL / "params.npz"), _PROMPT: _model_array("prompt0")}
    variables = {"params": traverse_util.unflatten_dict(flat, sep="/")}
    encode = jax.jit(functools.partial(model.apply, method="encode"))
    return encode(variables, _model_array("batch/encoder_input_tokens"), **extra)


class ModelTest(parameterized.TestCase):
    @parameterized.parameters(
        ("prefix", combine.prefix_prompt),
        ("after_bos", combine.prefix_prompt_after_bos),
        ("suffix_beforeeos0", _suffix(before_eos=False)),
        ("suffix_beforeeos1", _suffix(before_eos=True)),
    )
    def test_encoder_with_each_placement(self, name, placement):
        encoded, _ = _encode(_model(_zeros, placement))
        if name == "prefix":
            expected = _model_array("f32/jit/encoded")
        else:
            expected = _golden(f"combine_model/{name}/encoded")
        np.testing.assert_allclose(encoded, expected, rtol=0, atol=1e-5)

    def test_explicit_prompt_of_length_zero_is_plain_t5(self):
        encoded, live = _encode(_model(_zeros, combine.prefix_prompt), prompt=jnp.zeros((0, _H)))
        np.testing.assert_array_equal(live, _model_array("batch/encoder_input_tokens") > 0)
        expected = _model_array("f32/jit/noprompt_encoded")
        np.testing.assert_allclose(encoded, expected, rtol=0, atol=1e-5)


if __name__ == "__main__":
    absltest.main()
