# SPDX-License-Identifier: Apache-2.0
"""The network, its losses and its searches against numbers of the original implementation.

Two models: one of random weights, beside this repository's tests (testdata/golden_a), and the
original's own tiny checkpoint, which needs PROMPT_TUNING_SHARED_DATA.
"""

import functools
import os
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.models import decoding, layers, models, network
from prompt_tuning.prompts import combine, prompted_network
from prompt_tuning.prompts import prompt as prompts

jax.config.update("jax_numpy_rank_promotion", "raise")

_HERE = pathlib.Path(__file__)
_GOLDEN_A = _HERE.parent.parent / "testdata" / "golden_a"
_SHARED_DATA = pathlib.Path(
    os.environ.get("PROMPT_TUNING_SHARED_DATA", _HERE.resolve().parents[3] / "shared" / "data")
)
_PROMPT = "encoder/prompt/prompt/prompt"
_DTYPES = {"f32": "float32", "bf16": "bfloat16"}
# What the original's jitted and op-by-op results differ by.
_BF16_TOLERANCE = {"encoded": 0.032, "logits": 0.161, "grad_prompt": 0.25, "score_batch": 0.16}


@functools.cache
def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def _config_a(dtype: str) -> network.T5Config:
    return network.T5Config(
        vocab_size=384,
        emb_dim=16,
        num_heads=4,
        head_dim=6,
        mlp_dim=40,
        num_encoder_layers=2,
        num_decoder_layers=3,
        dtype=_DTYPES[dtype],
    )


def _config_tiny(dtype: str) -> network.T5Config:
    return network.T5Config(
        vocab_size=32128,
        emb_dim=4,
        num_heads=2,
        head_dim=2,
        mlp_dim=8,
        num_encoder_layers=2,
        num_decoder_layers=2,
        dtype=_DTYPES[dtype],
        relative_attention_num_buckets=4,
        relative_attention_max_distance=8,
    )


def _model(config: network.T5Config, length: int, **loss) -> models.EncoderDecoderModel:
    def make_prompt():
        return combine.Prompt(prompts.Prompt(length, nn.initializers.uniform(0.5)))

    module = prompted_network.PromptedTransformer(config, prompt_factory=make_prompt)
    return models.EncoderDecoderModel(module, None, None, None, **{"z_loss": 1e-4, **loss})


def _batch(golden):
    return {k.removeprefix("batch/"): v for k, v in golden.items() if k.startswith("batch/")}


def _nested(frozen, prompt):
    return traverse_util.unflatten_dict({**frozen, _PROMPT: prompt}, sep="/")


class GoldenTest(parameterized.TestCase):
    def assert_close(self, actual, golden, rtol=1e-5, atol=1e-5):
        actual, golden = (np.asarray(x, np.float32) for x in (actual, golden))
        np.testing.assert_allclose(actual, golden, rtol=rtol, atol=atol)


class GoldenATest(GoldenTest):
    def setUp(self):
        super().setUp()
        self.golden = _arrays(_GOLDEN_A / "model.npz")
        self.frozen = _arrays(_GOLDEN_A / "params.npz")
        self.batch = _batch(self.golden)
        self.params = _nested(self.frozen, self.golden["prompt0"])

    def _expect(self, dtype, name, actual):
        golden = self.golden[f"{dtype}/jit/{name}"]
        if dtype == "f32":
            self.assert_close(actual, golden)
        else:
            self.assert_close(actual, golden, 0, _BF16_TOLERANCE[name.removeprefix("noprompt_")])

    @parameterized.product(dtype=("f32", "bf16"), name=("", "noprompt_"))
    def test_encoded_and_logits_at_every_position(self, dtype, name):
        module = _model(_config_a(dtype), 7).module
        extra = {"prompt": jnp.zeros((0, 16))} if name else {}
        batch = self.batch

        @jax.jit
        def forward(params):
            variables = {"params": params}
            encoded, live = module.apply(
                variables, batch["encoder_input_tokens"], method="encode", **extra
            )
            decoder = (batch["decoder_input_tokens"], batch["decoder_target_tokens"])
            logits = module.apply(variables, encoded, live, *decoder, method="decode")
            return encoded, live, logits

        encoded, live, logits = forward(self.params)
        self._expect(dtype, name + "encoded", encoded)
        self._expect(dtype, name + "logits", logits)
        self.assertEqual(str(encoded.dtype), _DTYPES[dtype])
        self.assertEqual(logits.dtype, jnp.float32)
        real = 87 + (0 if name else 5 * 7)
        self.assertEqual(int(live.sum()), real)

    def test_a_network_without_a_prompt_is_one_with_a_prompt_of_no_length(self):
        params = traverse_util.unflatten_dict(self.frozen, sep="/")
        model = models.EncoderDecoderModel(
            network.Transformer(_config_a("f32")), None, None, None, z_loss=1e-4
        )
        loss, _ = jax.jit(model.loss_fn)(params, self.batch)
        without = functools.partial(_model(_config_a("f32"), 7).loss_fn, prompt=jnp.zeros((0, 16)))
        self.assertEqual(loss, jax.jit(without)(self.params, self.batch)[0])

    @parameterized.parameters(
        ("f32", "ls0_none", {}),
        ("f32", "ls0_realtok", {"loss_normalizing_factor": "num_real_target_tokens"}),
        ("f32", "ls0.1_none", {"label_smoothing": 0.1}),
        (
            "f32",
            "ls0.1_realtok",
            {"label_smoothing": 0.1, "loss_normalizing_factor": "NUM_REAL_TARGET_TOKENS"},
        ),
        ("bf16", "ls0_none", {}),
    )
    def test_loss_and_prompt_gradient(self, dtype, name, settings):
        model = _model(_config_a(dtype), 7, **settings)

        @jax.jit
        def loss_and_gradient(prompt):
            def loss_fn(prompt):
                return model.loss_fn(_nested(self.frozen, prompt), self.batch)

            return jax.value_and_grad(loss_fn, has_aux=True)(prompt)

        (loss, metrics), gradient = loss_and_gradient(self.golden["prompt0"])
        golden = {
            k.removeprefix(f"{dtype}/jit/{name}/"): v
            for k, v in self.golden.items()
            if k.startswith(f"{dtype}/jit/{name}/")
        }
        rtol, atol = (1e-6, 0) if dtype == "f32" else (1e-3, 0)
        self.assert_close(loss, golden["loss"], rtol, atol)
        self.assert_close(metrics["z_loss"], golden["z_loss"], rtol, atol)
        atol = 1e-5 if dtype == "f32" else _BF16_TOLERANCE["grad_prompt"]
        self.assert_close(gradient, golden["grad_prompt"], 1e-5, atol)
        if "metric_accuracy" in golden:
            self.assert_close(metrics["cross_ent_loss"], golden["metric_cross_ent_loss"], rtol)
            accuracy = metrics["correct"] / metrics["weight_sum"]
            self.assert_close(accuracy, golden["metric_accuracy"])

    def test_gradient_of_every_parameter(self):
        model = _model(_config_a("f32"), 7)

        @jax.jit
        def gradient(params):
            return jax.grad(lambda p: model.loss_fn(p, self.batch)[0])(params)

        gradients = traverse_util.flatten_dict(gradient(self.params), sep="/")
        golden = _arrays(_GOLDEN_A / "grads_all_f32.npz")
        self.assertEqual(set(gradients), set(golden))
        for name, value in golden.items():
            with self.subTest(name):
                self.assert_close(gradients[name], value, 1e-5, 1e-5 * np.abs(value).max())

    @parameterized.parameters("f32", "bf16")
    def test_score_batch(self, dtype):
        model = _model(_config_a(dtype), 7)
        self._expect(dtype, "score_batch", jax.jit(model.score_batch)(self.params, self.batch))

    @parameterized.parameters(
        (("beam1_default",), decoding.beam_search, {}),
        (("beam4",), decoding.beam_search, {}),
        (("greedy",), decoding.temperature_sample, {"temperature": 0.0}),
        (
            ("greedy_unscaled",),
            decoding.temperature_sample,
            {"temperature": 0.0, "rescale_log_probs": False},
        ),
        (("nucleus_t1_p0.9_key7",), decoding.temperature_sample, {"topp": 0.9, "topk": 0}),
        (
            ("sample_t0.7_k4_key7", "sample_t0.7_k4_key11"),
            decoding.temperature_sample,
            {"temperature": 0.7, "topk": 4},
        ),
        (
            ("sample_t0.7_k4_key7_n3", "sample_t0.7_k4_key11_n3"),
            decoding.temperature_sample,
            {"temperature": 0.7, "topk": 4},
        ),
        (
            ("sample_t0.7_k4_key7_unscaled",),
            decoding.temperature_sample,
            {"temperature": 0.7, "topk": 4, "rescale_log_probs": False},
        ),
    )
    def test_decode(self, names, decode_fn, settings):
        model = _model(_config_a("f32"), 7, decode_fn=functools.partial(decode_fn, **settings))
        decodes = 4 if "beam4" in names else 3 if names[0].endswith("_n3") else 1
        predict = jax.jit(
            functools.partial(
                model.predict_batch_with_aux, num_decodes=decodes, return_all_decodes=True
            )
        )
        for name in names:
            rng = jax.random.PRNGKey(11 if "key11" in name else 7)
            tokens, aux = predict(self.params, self.batch, rng)
            golden = f"f32/jit/decode/{name}"
            np.testing.assert_array_equal(tokens, self.golden[f"{golden}/all_seqs"])
            self.assert_close(aux["scores"], self.golden[f"{golden}/all_scores"])
            np.testing.assert_array_equal(tokens[:, -1], self.golden[f"{golden}/seqs"])

    def test_label_scores_are_the_scores_of_their_targets(self):
        labels = self.batch["decoder_target_tokens"]
        scores = jax.jit(_model(_config_a("f32"), 7).label_scores)(
            self.params, self.batch["encoder_input_tokens"], labels
        )
        self.assert_close(np.diag(scores), self.golden["f32/jit/score_batch"])

    @parameterized.parameters(True, False)
    def test_relative_position_buckets(self, bidirectional):
        buckets = layers.relative_position_buckets(
            self.golden["relpos/rel"], bidirectional, num_buckets=32, max_distance=128
        )
        golden = self.golden[f"relpos/bucket_bidirectional{int(bidirectional)}"]
        np.testing.assert_array_equal(buckets, golden)

    def test_initial_prompt(self):
        shapes = {k: v.shape for k, v in self.batch.items()}
        model = _model(_config_a("f32"), 7)

        @jax.jit
        def initial_prompt(rng):
            variables = model.get_initial_variables(rng, shapes)
            return traverse_util.flatten_dict(variables["params"], sep="/")[_PROMPT]

        for key in range(3):
            golden = self.golden[f"init/in_model_uniform0.5_key{key}"]
            np.testing.assert_array_equal(initial_prompt(jax.random.PRNGKey(key)), golden)


class GoldenTinyTest(GoldenTest):
    """The original's bundled checkpoint: 32128 rows, 4 position buckets."""

    def setUp(self):
        super().setUp()
        folder = _SHARED_DATA / "golden_tiny"
        if not folder.is_dir():
            self.skipTest(f"{folder} does not exist; set PROMPT_TUNING_SHARED_DATA")
        self.golden = _arrays(folder / "tiny_model.npz")
        self.frozen = _arrays(folder / "tiny_params.npz")
        self.gradients = _arrays(folder / "tiny_grads_all_f32.npz")
        self.batch = _batch(self.golden)
        self.params = _nested(self.frozen, self.golden["prompt0"])
        self.model = _model(_config_tiny("f32"), 20)

    def test_encoded_logits_and_scores(self):
        def forward(params):
            variables, batch = {"params": params}, self.batch
            encoded, live = self.model.module.apply(
                variables, batch["encoder_input_tokens"], method="encode"
            )
            decoder = (batch["decoder_input_tokens"], batch["decoder_target_tokens"])
            logits = self.model.module.apply(variables, encoded, live, *decoder, method="decode")
            return encoded, logits, self.model.score_batch(params, batch)

        encoded, logits, scores = jax.jit(forward)(self.params)
        self.assert_close(encoded, self.golden["f32/encoded"])
        self.assert_close(logits, self.golden["f32/logits"])
        self.assert_close(scores, self.golden["f32/score_batch"])

    def test_loss_and_gradients(self):
        @jax.jit
        def loss_and_gradient(params):
            return jax.value_and_grad(self.model.loss_fn, has_aux=True)(params, self.batch)

        (loss, metrics), gradients = loss_and_gradient(self.params)
        self.assert_close(loss, self.golden["f32/loss"])
        self.assert_close(metrics["z_loss"], self.golden["f32/z_loss"])
        flat = traverse_util.flatten_dict(gradients, sep="/")
        self.assert_close(flat[_PROMPT], self.golden["f32/grad_prompt"])
        for name in self.frozen:
            golden = self.gradients[name]
            with self.subTest(name):
                self.assert_close(flat[name], golden, 1e-5, 1e-5 * np.abs(golden).max())

    @parameterized.parameters(
        ("ls0.1", {"label_smoothing": 0.1}),
        ("realtok", {"loss_normalizing_factor": "NUM_REAL_TARGET_TOKENS"}),
    )
    def test_loss_settings(self, name, settings):
        model = _model(_config_tiny("f32"), 20, **settings)
        loss, metrics = jax.jit(model.loss_fn)(self.params, self.batch)
        self.assert_close(loss, self.golden[f"f32/{name}_loss"])
        self.assert_close(metrics["z_loss"], self.golden[f"f32/{name}_z_loss"])

    def test_beam_search(self):
        def predict(params):
            best = self.model.predict_batch(params, self.batch)
            beams = self.model.predict_batch_with_aux(
                params, self.batch, num_decodes=4, return_all_decodes=True
            )
            return best, beams

        best, (tokens, aux) = jax.jit(predict)(self.params)
        np.testing.assert_array_equal(best, self.golden["f32/decode_default"])
        np.testing.assert_array_equal(tokens, self.golden["f32/beam4_seqs"])
        self.assert_close(aux["scores"], self.golden["f32/beam4_scores"])

    def test_greedy(self):
        decode_fn = functools.partial(decoding.temperature_sample, temperature=0.0)
        model = _model(_config_tiny("f32"), 20, decode_fn=decode_fn)
        tokens, aux = jax.jit(model.predict_batch_with_aux)(self.params, self.batch)
        np.testing.assert_array_equal(tokens, self.golden["f32/greedy_seqs"])
        self.assert_close(aux["scores"], self.golden["f32/greedy_scores"])


if __name__ == "__main__":
    absltest.main()
