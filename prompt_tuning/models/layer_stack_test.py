# SPDX-License-Identifier: Apache-2.0
import functools
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.models import decoder_only_network, frozen_weights, layer_stack, models, network

# Compiling is most of what these tests would do.
jax.config.update("jax_disable_most_optimizations", True)

CONFIG = network.T5Config(
    vocab_size=16,
    emb_dim=8,
    num_heads=2,
    head_dim=8,
    mlp_dim=12,
    num_encoder_layers=3,
    num_decoder_layers=2,
    dtype="float32",
)
BATCH = {
    "encoder_input_tokens": np.array([[5, 6, 7, 1, 0], [8, 9, 1, 0, 0]], np.int32),
    "decoder_input_tokens": np.array([[0, 4, 6, 0], [0, 7, 3, 9]], np.int32),
    "decoder_target_tokens": np.array([[4, 6, 1, 0], [7, 3, 9, 1]], np.int32),
    "decoder_loss_weights": np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.float32),
}


def make_model(**changes):
    return models.EncoderDecoderModel(
        network.Transformer(CONFIG.replace(**changes)), None, None, None
    )


def leaves_of(tree):
    return traverse_util.flatten_dict(tree, sep="/")


@functools.cache
def unscanned_params():
    """Random ones of a scale that neither vanishes nor saturates from layer to layer."""
    shapes = {name: BATCH[name].shape for name in ("encoder_input_tokens", "decoder_input_tokens")}
    leaves = jax.eval_shape(
        lambda key: make_model().get_initial_variables(key, shapes), jax.random.key(0)
    )["params"]
    random = np.random.RandomState(0)

    def draw(leaf):
        scale = 1.5 / np.sqrt(leaf.shape[0]) if len(leaf.shape) > 1 else 1
        return jnp.asarray(scale * random.normal(size=leaf.shape), jnp.float32)

    return jax.tree.map(draw, leaves)


@functools.cache
def loss_and_gradient(scan_layers, remat_policy):
    model = make_model(scan_layers=scan_layers, remat_policy=remat_policy)
    return jax.jit(jax.value_and_grad(lambda p: model.loss_fn(p, BATCH)[0]))(unscanned_params())


def stacked(params):
    return traverse_util.unflatten_dict(layer_stack.stack(leaves_of(params)), sep="/")


class StackTest(absltest.TestCase):
    def test_layers_become_one_array_and_come_back(self):
        params = {
            "encoder/encoder_norm/scale": np.ones(2),
            **{f"encoder/layers_{i}/mlp/wo/kernel": np.full((3, 2), i) for i in range(11)},
            "decoder/layers_0/mlp/wo/kernel": np.zeros((3, 2)),
        }
        found = layer_stack.stack(params)
        self.assertCountEqual(
            found,
            [
                "encoder/encoder_norm/scale",
                "encoder/layers/mlp/wo/kernel",
                "decoder/layers/mlp/wo/kernel",
            ],
        )
        np.testing.assert_array_equal(found["encoder/layers/mlp/wo/kernel"][:, 0, 0], np.arange(11))
        self.assertIsInstance(found["encoder/layers/mlp/wo/kernel"], np.ndarray)
        self.assertEqual(found["encoder/layers/mlp/wo/kernel"].ctypes.data % 64, 0)
        back = layer_stack.unstack(found)
        self.assertCountEqual(back, params)
        for name, value in params.items():
            np.testing.assert_array_equal(back[name], value)
        whole = found["encoder/layers/mlp/wo/kernel"]
        self.assertTrue(np.shares_memory(back["encoder/layers_4/mlp/wo/kernel"], whole))

    def test_shapes_and_trees(self):
        shape = jax.ShapeDtypeStruct((3,), jnp.float32)
        found = layer_stack.stack({f"layers_{i}/x": (shape, shape) for i in range(2)})
        self.assertEqual(found["layers/x"][1].shape, (2, 3))
        self.assertEqual(found["layers/x"][1].dtype, jnp.float32)

    def test_a_layer_is_missing(self):
        with self.assertRaisesRegex(ValueError, r"layers/x cannot be made of the layers \[0, 2\]"):
            layer_stack.stack({"layers_0/x": np.ones(1), "layers_2/x": np.ones(1)})


class TracedOnceTest(parameterized.TestCase):
    def count(self, dropout_rng=None, **changes):
        """How often Python ran a layer of the encoder for one gradient, and that gradient."""
        params, model, calls = unscanned_params(), make_model(**changes), []
        original = network.EncoderLayer.__call__

        def counted(layer, *arguments):
            calls.append(layer.name)
            return original(layer, *arguments)

        with mock.patch.object(network.EncoderLayer, "__call__", counted):
            gradient = jax.jit(jax.grad(lambda p: model.loss_fn(p, BATCH, dropout_rng)[0]))
            found = gradient(params)
        return len(calls), leaves_of(found)

    @parameterized.parameters("none", "full")
    def test_equal_layers_are_traced_once(self, remat_policy):
        once, found = self.count(remat_policy=remat_policy)
        self.assertEqual(once, 1)
        with mock.patch.object(layer_stack, "_is_pure", return_value=False):
            each, expected = self.count(remat_policy=remat_policy)
        self.assertEqual(each, CONFIG.num_encoder_layers)
        for name, value in expected.items():
            # An element may be a small difference of large terms.
            rounding = 1e-5 * np.abs(value).max()
            np.testing.assert_allclose(found[name], value, rtol=0, atol=rounding, err_msg=name)

    def test_not_outside_of_a_program(self):
        """Each call would compile a program of its own."""
        with mock.patch.object(layer_stack, "_traced_once") as traced:
            make_model().loss_fn(unscanned_params(), BATCH)
        traced.assert_not_called()

    @parameterized.parameters(
        ([2.0, 2.0, 2.0], 8.0, 1),
        ([1.0, 2.0, 3.0], 6.0, 3),
        ([np.array([1.0, 1.0]), np.array([2.0, 2.0])], 2.0, 2),
    )
    def test_layers_with_attributes_of_their_own(self, factors, product, traces):
        calls = []

        class Layer(nn.Module):
            factor: float | np.ndarray

            @nn.compact
            def __call__(self, x):
                calls.append(self.factor)
                return x * self.factor + self.param("shift", nn.initializers.zeros, ())

        class Stack(nn.Module):
            def setup(self):
                self.layers = [Layer(factor) for factor in factors]

            def __call__(self, x):
                def run_layer(layer, x, _):
                    return layer(x), None

                return layer_stack.run(self.layers, run_layer, x, count=len(factors))[0]

        params = {f"layers_{i}": {"shift": jnp.float32(0)} for i in range(len(factors))}
        found = jax.jit(Stack().apply)({"params": params}, jnp.ones(2))
        np.testing.assert_array_equal(found, np.full(2, product))
        self.assertLen(calls, traces)

    def test_every_layer_draws_its_own_dropout(self):
        calls, _ = self.count(jax.random.key(1), dropout_rate=0.5)
        self.assertEqual(calls, CONFIG.num_encoder_layers)


class ScannedNetworkTest(parameterized.TestCase):
    def test_initial_parameters_do_not_depend_on_the_form(self):
        shapes = {name: (1, 4) for name in ("encoder_input_tokens", "decoder_input_tokens")}
        plain, scanned = (
            leaves_of(make_model(scan_layers=scan).get_initial_variables(jax.random.key(3), shapes))
            for scan in (False, True)
        )
        self.assertCountEqual(plain, scanned)
        for name, value in plain.items():
            np.testing.assert_array_equal(scanned[name], value)

    @parameterized.parameters((True, "none"), (True, "full"), (False, "minimal"))
    def test_loss_and_gradient(self, scan_layers, remat_policy):
        expected, gradient = loss_and_gradient(False, "none")
        got, found = loss_and_gradient(scan_layers, remat_policy)
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        found = leaves_of(found)
        for name, value in leaves_of(gradient).items():
            scale = np.abs(value).max()
            np.testing.assert_allclose(found[name], value, atol=1e-5 * scale, err_msg=name)

    @parameterized.product(scan_layers=(True, False), remat_policy=("none", "full"))
    def test_layers_in_the_hosts_memory_give_what_the_others_give(self, scan_layers, remat_policy):
        options = {"scan_layers": scan_layers, "remat_policy": remat_policy}
        plain, fetching = make_model(**options), make_model(**options, frozen_memory="host")
        flat = fetching.arrange(leaves_of(unscanned_params()))
        placed = {
            name: jax.device_put(
                value,
                jax.sharding.SingleDeviceSharding(
                    jax.devices()[0], memory_kind=fetching.memory_kind(name)
                ),
            )
            for name, value in flat.items()
        }
        for name, value in placed.items():
            self.assertEqual(value.sharding.memory_kind == "pinned_host", "/layers" in name, name)

        def gradient(model, params):
            """Of what goes through every layer: the token table."""
            table = "token_embedder/embedding"

            def loss(value):
                given = {**params, table: value}
                return model.loss_fn(traverse_util.unflatten_dict(given, sep="/"), BATCH)[0]

            return jax.jit(jax.grad(loss))(params[table])

        expected = gradient(plain, flat)
        np.testing.assert_allclose(
            gradient(fetching, placed), expected, atol=1e-6 * np.abs(expected).max()
        )

    def test_stacked_parameters_give_what_the_others_give(self):
        model, params = make_model(scan_layers=True), unscanned_params()
        score = jax.jit(model.score_batch)
        np.testing.assert_array_equal(score(params, BATCH), score(stacked(params), BATCH))

    def test_parameters_partly_stacked(self):
        """As in training, where what trains keeps the names of its layers."""
        model, params = make_model(scan_layers=True), leaves_of(unscanned_params())
        trains = {name: value for name, value in params.items() if "/wi_0/" in name}
        rest = {name: value for name, value in params.items() if name not in trains}
        mixed = traverse_util.unflatten_dict({**layer_stack.stack(rest), **trains}, sep="/")
        score = jax.jit(model.score_batch)
        np.testing.assert_array_equal(score(mixed, BATCH), score(unscanned_params(), BATCH))

    def test_a_stacked_parameter_is_an_input_and_not_a_copy(self):
        """One loop per stack, and no concatenation of weights in the program."""
        model = make_model(scan_layers=True, num_encoder_layers=7)
        params = jax.eval_shape(
            lambda: stacked(
                model.get_initial_variables(
                    jax.random.key(0),
                    {"encoder_input_tokens": (2, 5), "decoder_input_tokens": (2, 4)},
                )["params"]
            )
        )
        text = jax.jit(model.score_batch).lower(params, BATCH).as_text()
        self.assertEqual(text.count("stablehlo.while"), 2)
        self.assertNotRegex(text, r"stablehlo.concatenate.*tensor<7x")

    @parameterized.parameters(1, 3)
    def test_search(self, num_decodes):
        """One decode reads the encoded input itself, three read its keys and values."""

        def predict(model, params):
            return jax.jit(
                lambda p: model.predict_batch_with_aux(
                    p, BATCH, num_decodes=num_decodes, return_all_decodes=True
                )
            )(params)

        params = unscanned_params()
        expected, scores = predict(make_model(), params)
        got, found = predict(make_model(scan_layers=True), stacked(params))
        np.testing.assert_array_equal(got, expected)
        if num_decodes > 1:
            self.assertGreater(np.unique(expected).size, 2)
        np.testing.assert_allclose(found["scores"], scores["scores"], rtol=1e-5)

    @parameterized.parameters(False, True)
    def test_int8_weights_give_what_the_widened_ones_give(self, scan_layers):
        model = make_model(scan_layers=scan_layers, frozen_dtype="int8")
        flat = leaves_of(unscanned_params())
        stored = traverse_util.unflatten_dict(model.arrange(flat), sep="/")
        wide = frozen_weights.restore(frozen_weights.store(flat, "int8"))
        wide = traverse_util.unflatten_dict(wide, sep="/")
        expected = jax.jit(make_model().score_batch)(wide, BATCH)
        np.testing.assert_allclose(jax.jit(model.score_batch)(stored, BATCH), expected, rtol=1e-5)

    def test_label_scores(self):
        labels = np.array([[4, 1, 0], [7, 9, 1]], np.int32)

        def scores(model, params):
            return jax.jit(model.label_scores)(params, BATCH["encoder_input_tokens"], labels)

        params = unscanned_params()
        np.testing.assert_allclose(
            scores(make_model(scan_layers=True), stacked(params)),
            scores(make_model(), params),
            rtol=1e-5,
        )

    def test_dropout_differs_from_layer_to_layer(self):
        """With weights that are the same in each layer, only the masks can make a difference."""

        class Layer(network.EncoderLayer):
            def __call__(self, x, keep, bias, deterministic):
                mask = self.post_mlp_dropout(jnp.ones((1, 1, 64)), deterministic=deterministic)
                self.sow("intermediates", "mask", mask)
                return x

        class Encoder(network.Encoder):
            def make_layer(self):
                return Layer(self.config)

        module = network.Transformer(
            CONFIG.replace(dropout_rate=0.5, scan_layers=True), encoder_factory=Encoder
        )
        _, state = module.apply(
            {"params": stacked(unscanned_params())},
            BATCH["encoder_input_tokens"],
            False,
            method="encode",
            rngs={"dropout": jax.random.key(0)},
            mutable="intermediates",
        )
        masks = state["intermediates"]["encoder"]["layers"]["mask"][0]
        self.assertEqual(masks.shape[0], 3)
        self.assertTrue((masks[0] != masks[1]).any() and (masks[1] != masks[2]).any())

    def test_decoder_only(self):
        tokens, targets = BATCH["decoder_input_tokens"], BATCH["decoder_target_tokens"]

        @functools.partial(jax.jit, static_argnums=0)
        def run(module, params):
            cache = module.apply(params, tokens, targets, method="prefill")
            step = (tokens[:, :1] + 3, cache, np.array([1, 2]))
            logits = module.apply(params, tokens, targets)
            return logits, cache, *module.apply(params, *step, method="decode_step")

        plain = decoder_only_network.DecoderOnly(CONFIG)
        params = jax.jit(plain.init)(jax.random.key(0), tokens, targets)
        expected = run(plain, params)
        got = run(decoder_only_network.DecoderOnly(CONFIG.replace(scan_layers=True)), params)
        for index in (0, 2):
            np.testing.assert_allclose(got[index], expected[index], atol=1e-5)
        for index in (1, 3):
            keys = np.stack([pair[0] for pair in expected[index]], axis=1)
            np.testing.assert_allclose(got[index][0], keys, atol=1e-5)


if __name__ == "__main__":
    absltest.main()
