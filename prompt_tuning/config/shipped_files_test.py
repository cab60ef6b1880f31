# SPDX-License-Identifier: Apache-2.0
"""Tests of the files in `configs/`: each parses, and has upstream's macros, defaults and sizes."""

import os

import gin
from absl.testing import absltest, parameterized

from prompt_tuning.bundled import bundled
from prompt_tuning.config import (
    aliases,
    checkpoint_config,
    flag_table,
    friendly_flags,
    gin_checks,
    gin_files,
    gin_flags,
    gin_functions,
)
from prompt_tuning.models import network
from prompt_tuning.prompts import combine
from prompt_tuning.training import optimizers

_CONFIGS = "prompt_tuning/configs"
_PATHS = gin_flags.search_paths(["."])
_BASE = f"{_CONFIGS}/models/t5_1_1_base_prompt.gin"
_FINETUNE = f"{_CONFIGS}/runs/prompt_finetune.gin"
_EVAL = f"{_CONFIGS}/runs/prompt_eval.gin"
_INFER = f"{_CONFIGS}/runs/prompt_infer.gin"

# EMBED_DIM, NUM_HEADS, HEAD_DIM, MLP_DIM, NUM_ENCODER_LAYERS, NUM_DECODER_LAYERS
_SIZES = {
    "small": (512, 6, 64, 1024, 8, 8),
    "base": (768, 12, 64, 2048, 12, 12),
    "large": (1024, 16, 64, 2816, 24, 24),
    "xl": (2048, 32, 64, 5120, 24, 24),
    "xxl": (4096, 64, 64, 10240, 24, 24),
    "80b": (8192, 256, 64, 65536, 16, 16),
}
_FAMILIES = {
    "t5_1_1": (32128, "gs://t5-data/vocabs/cc_all.32000.100extra/sentencepiece.model"),
    "mt5": (250112, "gs://t5-data/vocabs/mc4.250000.100extra/sentencepiece.model"),
}

# Upstream's paths; a script that names one must find it.
_UPSTREAM_FILES = """
architectures/prompt_encoder_t5_1_1_flaxformer architectures/t5_1_1_flaxformer
models/t5_1_1_prompt models/t5_1_1_small_prompt models/t5_1_1_base_prompt
models/t5_1_1_large_prompt models/t5_1_1_xl_prompt models/t5_1_1_xxl_prompt
models/mt5_prompt models/mt5_small_prompt models/mt5_base_prompt models/mt5_large_prompt
models/mt5_xl_prompt models/mt5_xxl_prompt models/mt5_80b_prompt
models/sizes/small models/sizes/base models/sizes/large models/sizes/xl models/sizes/xxl
models/sizes/80b models/decoding/beam_search models/decoding/nucleus_sampling
prompts/from_class_labels prompts/from_class_labels_numpy prompts/from_sampled_vocab
prompts/from_sampled_vocab_numpy prompts/from_file
runs/prompt_finetune runs/prompt_eval runs/prompt_infer
""".split()

_REQUIRED = gin_files.REQUIRED

# Macro by macro what holds when nothing else is set: the base model and the fine-tuning run.
_FINETUNE_DEFAULTS = {
    "PROMPT_LENGTH": 100,
    "PROMPT_REGEX": [".*/prompt/.*"],
    "NUM_EMBEDDINGS": 32128,
    "ACTIVATION_DTYPE": "bfloat16",
    "ACTIVATION_PARTITIONING_DIMS": 1,
    "SCALE": 1.0,
    "DROPOUT_RATE": 0.1,
    "Z_LOSS": 0.0001,
    "LABEL_SMOOTHING": 0.0,
    "LOSS_NORMALIZING_FACTOR": None,
    "MODEL_DIR": _REQUIRED,
    "MIXTURE_OR_TASK_NAME": _REQUIRED,
    "TASK_FEATURE_LENGTHS": _REQUIRED,
    "TRAIN_STEPS": _REQUIRED,
    "INITIAL_CHECKPOINT_PATH": _REQUIRED,
    "TRAIN_STEPS_RELATIVE": None,
    "MIXTURE_OR_TASK_MODULE": None,
    "BATCH_SIZE": 128,
    "USE_CACHED_TASKS": True,
    "EVAL_PERIOD": 1000,
    "EVAL_STEPS": 20,
    "RANDOM_SEED": None,
    "USE_HARDWARE_RNG": False,
    "EVALUATOR_USE_MEMORY_CACHE": True,
    "EVALUATOR_NUM_EXAMPLES": None,
    "JSON_WRITE_N_RESULTS": None,
}
_EVAL_DEFAULTS = {
    "CHECKPOINT_PATH": _REQUIRED,
    "EVAL_OUTPUT_DIR": _REQUIRED,
    "PROMPT_FILE": _REQUIRED,
    "TASK_FEATURE_LENGTHS": None,
    "MIXTURE_OR_TASK_MODULE": None,
    "DROPOUT_RATE": 0.0,
}
_INFER_DEFAULTS = {
    "CHECKPOINT_PATH": _REQUIRED,
    "INFER_OUTPUT_DIR": _REQUIRED,
    "PROMPT_FILE": _REQUIRED,
    "TASK_FEATURE_LENGTHS": _REQUIRED,
    "DROPOUT_RATE": 0.0,
}
_FINETUNE_VALUES = (
    "MODEL_DIR = 'm'",
    "MIXTURE_OR_TASK_NAME = 't'",
    "TASK_FEATURE_LENGTHS = {'inputs': 8, 'targets': 2}",
    "TRAIN_STEPS = 10",
    "INITIAL_CHECKPOINT_PATH = 'c'",
)


def _files_around(path: str) -> list[str]:
    """A list of files in which `path` is complete, in the right order."""
    short = path.removeprefix(f"{_CONFIGS}/").removesuffix(".gin")
    folder = short.rsplit("/", 1)[0]
    if "bundled" in short:
        model = f"{_CONFIGS}/models/bundled_prompt.gin"
        return [model] if path == model else [model, path]
    if folder in ("runs", "extended/runs", "t5x/configs/runs"):
        run = {"runs/paper_recipe": [_FINETUNE], "runs/paper_lengths": [_FINETUNE]}.get(short, [])
        return [_BASE, *run, path]
    if folder in ("prompts", "models/decoding"):
        return [_BASE, path, _FINETUNE]
    if folder == "models/sizes":
        return [f"{_CONFIGS}/models/mt5_prompt.gin", path]
    return [path]


def _macros(files: list[str]) -> dict:
    found = gin_checks.macros(gin_files.read(files, (), _PATHS))
    return {name: binding.value for name, binding in found.items()}


class ShippedFilesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(gin.clear_config)

    def parse(self, files, bindings=()):
        """Parses with values for whatever is required, so that gin can finish."""
        statements = gin_files.read(files, bindings, _PATHS)
        missing = {
            b.name for b in gin_checks.final_bindings(statements).values() if b.value == _REQUIRED
        }
        gin_flags.parse_gin(files, [*bindings, *(f"{name} = 4" for name in missing)], _PATHS)

    def test_upstreams_paths_are_all_there(self):
        shipped = set(gin_files.shipped_files())
        self.assertEmpty({f"{_CONFIGS}/{name}.gin" for name in _UPSTREAM_FILES} - shipped)
        for run in ("finetune", "eval", "infer", "pretrain"):
            self.assertIn(f"{_CONFIGS}/t5x/configs/runs/{run}.gin", shipped)

    @parameterized.parameters(*gin_files.shipped_files())
    def test_parses(self, path):
        files = _files_around(path)
        statements = gin_files.read(files, (), _PATHS)
        gin_checks.check_order(statements)
        gin_checks.check_imports(statements)
        self.parse(files)
        first = gin_functions.parsed_config()
        gin.clear_config()
        with aliases.installed():
            gin.parse_config(first)  # What is written can be read.
        self.assertEqual(gin_functions.parsed_config(), first)

    @parameterized.parameters(*gin_files.shipped_files())
    def test_starts_with_its_licence_and_what_it_is_for(self, path):
        with open(gin_files.REPOSITORY_ROOT / path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[0], "# SPDX-License-Identifier: Apache-2.0")
        self.assertRegex(lines[1], r"^# \w.*\.")
        self.assertEmpty([line for line in lines if len(line) > 100])

    @parameterized.parameters(
        ([_BASE, _FINETUNE], _FINETUNE_DEFAULTS),
        ([_BASE, _EVAL], _EVAL_DEFAULTS),
        ([_BASE, _INFER], _INFER_DEFAULTS),
        ([_BASE, f"{_CONFIGS}/prompts/from_class_labels.gin"], {"CLASS_LABELS": _REQUIRED}),
        ([f"{_CONFIGS}/prompts/from_class_labels_numpy.gin"], {"EMBEDDING_FILE": _REQUIRED}),
        ([f"{_CONFIGS}/prompts/from_sampled_vocab_numpy.gin"], {"EMBEDDING_FILE": _REQUIRED}),
        ([f"{_CONFIGS}/prompts/from_file.gin"], {"PROMPT_FILE": _REQUIRED}),
        ([f"{_CONFIGS}/models/t5_1_1_prompt.gin"], {"EMBED_DIM": _REQUIRED}),
    )
    def test_macros_and_their_defaults(self, files, expected):
        macros = _macros(files)
        for name, value in expected.items():
            with self.subTest(name):
                self.assertIn(name, macros)
                self.assertEqual(macros[name], value)

    @parameterized.product(family=list(_FAMILIES), size=list(_SIZES))
    def test_sizes(self, family, size):
        if (family, size) == ("t5_1_1", "80b"):
            self.skipTest("T5 1.1 has no such size")
        self.parse([f"{_CONFIGS}/models/{family}_{size}_prompt.gin"])
        config = gin.get_configurable(network.T5Config)()
        rows, vocabulary = _FAMILIES[family]
        self.assertEqual(
            (
                config.emb_dim,
                config.num_heads,
                config.head_dim,
                config.mlp_dim,
                config.num_encoder_layers,
                config.num_decoder_layers,
            ),
            _SIZES[size],
        )
        self.assertEqual(config.vocab_size, rows)
        self.assertEqual(config.mlp_activations, ("gelu", "linear"))
        key = "seqio.SentencePieceVocabulary.sentencepiece_model_file"
        self.assertEqual(gin.query_parameter(key), vocabulary)

    def test_bundled_model_is_the_one_of_its_checkpoint(self):
        self.parse([f"{_CONFIGS}/models/bundled_prompt.gin"])
        config = gin.get_configurable(network.T5Config)()
        for name, value in bundled.SIZES.items():
            self.assertEqual(getattr(config, name), value, name)
        self.assertEqual(config.dtype.name, "float32")
        macros = _macros([f"{_CONFIGS}/models/bundled_prompt.gin"])
        self.assertEqual(macros["PROMPT_LENGTH"], 20)
        key = "seqio.SentencePieceVocabulary.extra_ids"
        self.assertEqual(gin.query_parameter(key), bundled.EXTRA_IDS)

    def test_optimizer_of_the_paper(self):
        self.parse([_BASE, _FINETUNE], _FINETUNE_VALUES)
        optimizer = gin.get_configurable(optimizers.MultiOptimizer)()
        adafactor = gin.get_configurable("t5x.adafactor.Adafactor")()
        self.assertEqual(
            (
                adafactor.decay_rate,
                adafactor.step_offset,
                adafactor.multiply_by_parameter_scale,
                adafactor.weight_decay_rate,
                adafactor.clipping_threshold,
            ),
            (0.8, 0, False, 1e-5, 1.0),
        )
        names = ["encoder/prompt/prompt/prompt", "encoder/encoder_norm/scale"]
        self.assertEqual(optimizer.trainable(names), names[:1])
        schedule = gin.get_configurable("create_learning_rate_scheduler")()
        self.assertAlmostEqual(float(schedule(1_100_000)), 0.3)

    def test_prompt_of_the_paper(self):
        self.parse([_BASE])
        prompt = gin.get_configurable(combine.Prompt)()
        self.assertEqual(prompt.prompt.length, 100)
        self.assertEqual(prompt.combine.__name__, "prefix_prompt")
        key = "prompt_init/uniform.scale"
        self.assertEqual(gin.query_parameter(key), 0.5)

    def test_checkpoints_of_finetuning(self):
        self.parse([_BASE, _FINETUNE], _FINETUNE_VALUES)
        config = gin.get_configurable(checkpoint_config.CheckpointConfig)()
        self.assertEqual((config.save.period, config.save.keep), (1000, 1))
        self.assertEqual(config.save.dtype, "float32")
        self.assertEqual(config.save.save_paths, (".*/prompt/.*",))
        self.assertEqual((config.restore.path, config.restore.mode), ("c", "specific"))
        self.assertEqual(config.restore.dtype, "float32")
        self.assertEqual(config.restore.assignment_map, ((r"^.*prompt.*$", None),))
        self.assertTrue(config.restore.fallback_to_scratch)

    def test_datasets_of_finetuning(self):
        self.parse([_BASE, _FINETUNE], _FINETUNE_VALUES)
        bound = gin.get_bindings("train_script.train")
        train, train_eval, infer_eval = (
            bound[f"{name}_dataset_cfg"] for name in ("train", "train_eval", "infer_eval")
        )
        self.assertEqual((train.split, train.shuffle, train.seed), ("train", True, None))
        self.assertEqual((train_eval.split, train_eval.seed), ("validation", 42))
        self.assertFalse(infer_eval.shuffle)
        self.assertIsNone(infer_eval.task_feature_lengths)
        self.assertEqual({c.batch_size for c in (train, train_eval, infer_eval)}, {128})
        self.assertEqual((bound["total_steps"], bound["relative_steps"]), (10, None))

    @parameterized.parameters(
        ("evaluate", _EVAL, "eval_script.evaluate", 42, None),
        ("infer", _INFER, "infer_script.infer", 0, "bfloat16"),
    )
    def test_evaluation_and_inference(self, _, run, selector, seed, dtype):
        self.parse([_BASE, run], ["PROMPT_LENGTH = 1"])
        self.assertEqual(gin.query_parameter("DatasetConfig.seed"), seed)
        self.assertEqual(gin.query_parameter("DatasetConfig.split"), "test")
        self.assertEqual(gin.query_parameter("DatasetConfig.batch_size"), 32)
        self.assertEqual(gin.query_parameter(f"{selector}.fallback_init_rng"), 0)
        if dtype:
            self.assertEqual(gin.query_parameter("RestoreCheckpointConfig.dtype"), dtype)

    @parameterized.parameters("model_tuning", "pretrain")
    def test_everything_trains_without_a_prompt(self, run):
        self.parse([_BASE, f"{_CONFIGS}/runs/{run}.gin"])
        names = ["decoder/logits_dense/kernel", "encoder/encoder_norm/scale"]
        self.assertEqual(gin.get_configurable(optimizers.MultiOptimizer)().trainable(names), names)
        adafactor = gin.get_configurable("t5x.adafactor.Adafactor")()
        self.assertTrue(adafactor.multiply_by_parameter_scale)
        saved = gin.get_configurable(checkpoint_config.SaveCheckpointConfig)()
        self.assertEqual(saved.save_paths, ())
        architecture = gin.query_parameter("%ARCHITECTURE").configurable.wrapped
        self.assertIs(architecture, network.Transformer)

    @parameterized.parameters(*flag_table.PROMPT_FILES)
    def test_every_start_of_the_demonstration_is_complete(self, start):
        given = {"prompt_init": start}
        files = friendly_flags.default_files("train", given)
        bindings = ["MODEL_DIR = 'm'"]
        bindings += {
            "class_labels": ["CLASS_LABELS = ['a']"],
            "string": ["PROMPT_STRING = 'a'"],
            "peft_text": ["PROMPT_STRING = 'a'"],
            "file": ["PROMPT_FILE = 'a'"],
        }.get(start, [])
        statements = gin_files.read(files, bindings, _PATHS)
        gin_checks.check(statements, "train", {})

    def test_size_files_are_two_lines_or_macros_alone(self):
        """Eleven files of two includes invite differences; here they may not have any."""
        for family in _FAMILIES:
            for size in _SIZES:
                path = f"{_CONFIGS}/models/{family}_{size}_prompt.gin"
                if not os.path.exists(gin_files.REPOSITORY_ROOT / path):
                    continue
                with open(gin_files.REPOSITORY_ROOT / path, encoding="utf-8") as file:
                    lines = [line for line in file.read().splitlines() if line.startswith("incl")]
                folder = f"{_CONFIGS}/models"
                self.assertEqual(
                    lines,
                    [
                        f"include '{folder}/{family}_prompt.gin'",
                        f"include '{folder}/sizes/{size}.gin'",
                    ],
                )


if __name__ == "__main__":
    absltest.main()
