# SPDX-License-Identifier: Apache-2.0
"""The extended gin files: upstream's paths and macros, and the models that come out of them."""

import functools
import pathlib

import gin
import jax
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.bundled import bundled
from prompt_tuning.config import gin_checks, gin_files, gin_flags
from prompt_tuning.training import optimizers

_CONFIGS = "prompt_tuning/configs"
_EXTENDED = f"{_CONFIGS}/extended"
_PERCEPTRON = "prompt_tuning/extended/perceptron/configs/models"
_BUNDLED = f"{_CONFIGS}/models/bundled_prompt.gin"
_PATHS = gin_flags.search_paths(["."])
_SIZES = ("small", "base", "large", "xl", "xxl")

_UPSTREAM_FILES = (
    f"{_EXTENDED}/architectures/ia3_t5_1_1_flaxformer.gin",
    f"{_EXTENDED}/architectures/multi_task_prompt_encoder_t5_1_1_flaxformer.gin",
    f"{_EXTENDED}/architectures/per_layer_prompt_encoder_t5_1_1_flaxformer.gin",
    f"{_EXTENDED}/models/ia3_t5_1_1.gin",
    f"{_EXTENDED}/models/mt5_per_layer_prompt.gin",
    f"{_EXTENDED}/models/multi_task_t5_1_1_prompt.gin",
    *(f"{_EXTENDED}/models/multi_task_t5_1_1_{size}_prompt.gin" for size in _SIZES),
    f"{_EXTENDED}/models/t5_1_1_per_layer_prompt.gin",
    f"{_EXTENDED}/models/wayward_t5_1_1_prompt.gin",
    f"{_EXTENDED}/models/wayward_t5_1_1_base_prompt.gin",
    f"{_EXTENDED}/models/wayward_t5_1_1_large_prompt.gin",
    f"{_EXTENDED}/runs/ia3_finetune.gin",
    f"{_EXTENDED}/runs/multitask_prompt_finetune.gin",
    f"{_PERCEPTRON}/cross_entropy_t5_1_1_prompt.gin",
    f"{_PERCEPTRON}/perceptron_t5_1_1_prompt.gin",
)
_MULTI_TASK = f"{_EXTENDED}/models/multi_task_t5_1_1_prompt.gin"
_PER_LAYER = f"{_EXTENDED}/models/t5_1_1_per_layer_prompt.gin"
_IA3 = f"{_EXTENDED}/models/ia3_t5_1_1.gin"
_WAYWARD = f"{_EXTENDED}/models/wayward_t5_1_1_prompt.gin"

_MACROS = {
    _MULTI_TASK: {"PROMPT_LENGTH": 100, "NUM_TASKS": 8},
    _PER_LAYER: {"PROMPT_LENGTH": 10, "PROMPT_REGEX": [".*/prompt/.*"]},
    _IA3: {"TRAINABLE_REGEX": [".*/ia3_scaling.*"]},
    _WAYWARD: {"VERBALIZERS": None},
}
_SMALL = (
    "EMBED_DIM = 8",
    "MLP_DIM = 12",
    "NUM_HEADS = 2",
    "HEAD_DIM = 4",
    "NUM_ENCODER_LAYERS = 2",
    "NUM_DECODER_LAYERS = 1",
    "NUM_EMBEDDINGS = 1280",
    "ACTIVATION_DTYPE = 'float32'",
)


class ExtendedConfigsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(gin.clear_config)

    def model(self, files, *bindings):
        """The MODEL of some files, at sizes of a toy and with the bundled vocabulary."""
        vocabulary = f"seqio.SentencePieceVocabulary.sentencepiece_model_file = '{bundled.vocabulary_path()}'"
        gin_flags.parse_gin(files, [*_SMALL, vocabulary, *bindings], _PATHS)
        return gin.query_parameter("%MODEL").scoped_configurable_fn()

    def parameters(self, model, rows=(1,)):
        shapes = {"encoder_input_tokens": (*rows, 6), "decoder_input_tokens": (*rows, 2)}
        variables = jax.eval_shape(
            functools.partial(model.get_initial_variables, input_shapes=shapes), jax.random.key(0)
        )
        return traverse_util.flatten_dict(variables["params"], sep="/")

    @parameterized.parameters(*_UPSTREAM_FILES)
    def test_upstreams_path_is_there(self, path):
        self.assertTrue(pathlib.Path(gin_files.resolve(path, _PATHS)).is_file())

    @parameterized.parameters(*_MACROS)
    def test_macros(self, path):
        found = gin_checks.macros(gin_files.read([path], (), _PATHS))
        for name, value in _MACROS[path].items():
            self.assertEqual(found[name].value, value, name)

    def test_multi_task(self):
        model = self.model([_MULTI_TASK], "PROMPT_LENGTH = 3", "NUM_TASKS = 2")
        shapes = {k: v.shape for k, v in self.parameters(model).items() if "prompt" in k}
        prompt = "encoder/prompt/prompt"
        self.assertEqual(
            shapes,
            {f"{prompt}/shared_prompt": (3, 8), f"{prompt}/task_prompts/embedding": (2, 24)},
        )
        # Upstream's regexes leave out the shared one.
        self.assertEqual(set(self._trainable(model)), set(shapes))

    def test_multi_task_prompt_starts_from_the_sentinels_task(self):
        model = self.model([_MULTI_TASK], "PROMPT_LENGTH = 3", "NUM_TASKS = 2")
        shapes = {"encoder_input_tokens": (1, 6), "decoder_input_tokens": (1, 2)}
        params = model.get_initial_variables(jax.random.key(0), shapes)["params"]
        drawn = params["encoder"]["prompt"]["prompt"]["task_prompts"]["embedding"]
        self.assertBetween(float(drawn.max()), 0.3, 0.5)
        encode = functools.partial(model.module.apply, {"params": params}, method="encode")
        known, unknown = (np.array([[token, 5, 1]], np.int32) for token in (32098, 32000))
        self.assertFalse(np.isnan(encode(known)[0]).any())
        self.assertTrue(np.isnan(encode(unknown)[0]).any())

    def test_per_layer(self):
        model = self.model([_PER_LAYER], "PROMPT_LENGTH = 3", "ACTIVATION_DTYPE = 'bfloat16'")
        owners = ("encoder", "encoder/layers_0", "encoder/layers_1")
        prompts = {f"{owner}/prompt/prompt/prompt" for owner in owners}
        parameters = self.parameters(model)
        self.assertEqual({name for name in parameters if "prompt" in name}, prompts)
        self.assertEqual(set(self._trainable(model)), prompts)
        key = "prompt_tuning.prompts.Prompt.dtype"
        self.assertEqual(gin.query_parameter(key), "float32")

    def test_ia3(self):
        model = self.model([_IA3, f"{_EXTENDED}/runs/ia3_finetune.gin"], *_run_values())
        names = self.parameters(model)
        self.assertLen([name for name in names if name.endswith("ia3_scaling")], 2 * 3 + 5)
        self.assertEmpty([name for name in names if "prompt" in name])
        self.assertEqual(
            self._trainable(model), sorted(n for n in names if n.endswith("ia3_scaling"))
        )
        adafactor = gin.get_configurable("t5x.adafactor.Adafactor")()
        self.assertTrue(adafactor.multiply_by_parameter_scale)
        self.assertIsNone(adafactor.weight_decay_rate)
        schedule = gin.get_configurable("create_learning_rate_scheduler")()
        self.assertAlmostEqual(float(schedule(10)), 3e-3)

    def test_multitask_run(self):
        run = f"{_EXTENDED}/runs/multitask_prompt_finetune.gin"
        self.model([_MULTI_TASK, run], *_run_values())
        schedule = gin.get_configurable("create_learning_rate_scheduler")()
        self.assertAlmostEqual(float(schedule(10)), 0.3)

    def test_wayward(self):
        """Held near the text, and started from it: the distance is 0 at first."""
        sizes = [f"{name} = {value}" for name, value in _bundled_sizes().items()]
        checkpoint = f"INITIAL_CHECKPOINT_PATH = '{bundled.checkpoint_path()}'"
        text = "TASK_STRING = 'the {} film'"
        words = "VERBALIZERS = ['good']"
        extra_ids = f"seqio.SentencePieceVocabulary.extra_ids = {bundled.EXTRA_IDS}"
        model = self.model([_WAYWARD], *sizes, checkpoint, text, words, extra_ids)
        length = gin.query_parameter("%PROMPT_LENGTH").scoped_configurable_fn()
        self.assertEqual(length, len(model.input_vocabulary.encode("the good film")))
        shapes = {"encoder_input_tokens": (1, 6), "decoder_input_tokens": (1, 2)}
        params = jax.jit(functools.partial(model.get_initial_variables, input_shapes=shapes))(
            jax.random.key(0)
        )["params"]
        prompt = params["encoder"]["prompt"]["prompt"]["prompt"]
        self.assertEqual(prompt.shape[0], length)
        batch = {
            "encoder_input_tokens": np.array([[5, 6, 1]], np.int32),
            "decoder_input_tokens": np.array([[0, 4]], np.int32),
            "decoder_target_tokens": np.array([[4, 1]], np.int32),
        }
        loss_fn = jax.jit(model.loss_fn)
        loss, metrics = loss_fn(params, batch)
        self.assertEqual(loss, metrics["loss"])
        params["encoder"]["prompt"]["prompt"]["prompt"] = prompt + 1
        loss, metrics = loss_fn(params, batch)
        np.testing.assert_allclose(loss - metrics["loss"], 0.01 * prompt.shape[1], rtol=1e-3)

    @parameterized.parameters("perceptron", "cross_entropy")
    def test_label_models(self, name):
        model = self.model([f"{_PERCEPTRON}/{name}_t5_1_1_prompt.gin"], "PROMPT_LENGTH = 3")
        self.assertTrue(model.length_normalize)
        self.assertEqual(getattr(model, "hinge", None), 0.2 if name == "perceptron" else None)
        prompt = self.parameters(model, rows=(1, 2))["encoder/prompt/prompt/prompt"]
        self.assertEqual(prompt.shape, (3, 8))

    def _trainable(self, model):
        optimizer = gin.get_configurable(optimizers.MultiOptimizer)()
        return optimizer.trainable(self.parameters(model))


def _run_values():
    values = {
        "MODEL_DIR": "'m'",
        "MIXTURE_OR_TASK_NAME": "'t'",
        "TASK_FEATURE_LENGTHS": "{'inputs': 8, 'targets': 2}",
        "TRAIN_STEPS": "10",
        "INITIAL_CHECKPOINT_PATH": "'c'",
    }
    return [f"{name} = {value}" for name, value in values.items()]


def _bundled_sizes():
    return {"EMBED_DIM": bundled.SIZES["emb_dim"], "NUM_EMBEDDINGS": bundled.SIZES["vocab_size"]}


if __name__ == "__main__":
    absltest.main()
