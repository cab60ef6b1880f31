# SPDX-License-Identifier: Apache-2.0
"""Upstream's demonstration commands, spelled as there, run to their end.

What differs from upstream's text: the program, the paths of checkpoint, vocabulary and data, and the
sizes, which macros shrink until two processor cores can do it. The checkpoint is a random one whose
step lies three before TRAIN_STEPS, so the number of steps stays as it was written. The shell reads
the commands, so their quoting is tested too.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import jax
import numpy as np
from absl.testing import absltest
from flax import linen as nn
from flax import traverse_util

from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.data import offline_tfds
from prompt_tuning.models import models, network

_ROOT = pathlib.Path(os.path.abspath(__file__)).parents[2]
_VOCABULARY = _ROOT / "data_ops" / "tokenizer" / "testdata" / "tiny.model"
_LAST_STEP, _STEPS = 1_150_000, 3
_SIZES = {
    "NUM_EMBEDDINGS": 512,
    "EMBED_DIM": 16,
    "NUM_HEADS": 2,
    "HEAD_DIM": 4,
    "MLP_DIM": 32,
    "NUM_ENCODER_LAYERS": 2,
    "NUM_DECODER_LAYERS": 2,
}
_ROWS = (("a fine and warm film", 1), ("a dull one", 0), ("it is good", 1), ("so bad", 0))

# What every command gets behind upstream's flags.
_SMALLER = " ".join(
    [
        *(f"--gin.{name}={value}" for name, value in _SIZES.items()),
        "--gin.seqio.SentencePieceVocabulary.sentencepiece_model_file=\"'${VOCABULARY}'\"",
        "--gin.seqio.SentencePieceVocabulary.extra_ids=100",
    ]
)
_SEARCH = '--gin_search_paths="${T5X_DIR},${FLAXFORMER_DIR},${PROMPT_DIR}"'
_TASK = r"""
  --gin.MIXTURE_OR_TASK_NAME="'taskless_glue_sst2_v200_examples'" \
  --gin.MIXTURE_OR_TASK_MODULE="'prompt_tuning.data.glue'" \
  --gin.TASK_FEATURE_LENGTHS="{'inputs': 512, 'targets': 8}" \
"""

# sst2-demo.sh; SIZE and MORE are what sst2-demo-xxl.sh has of its own.
_TRAIN = rf"""
${{PROGRAM}} {_SEARCH} \
  --gin_file="prompt_tuning/configs/models/t5_1_1_${{SIZE}}_prompt.gin" \
  --gin_file="prompt_tuning/configs/prompts/from_class_labels.gin" \
  --gin_file="prompt_tuning/configs/runs/prompt_finetune.gin" \
  --gin.CLASS_LABELS="['positive', 'negative']" \
  --gin.MODEL_DIR="'${{MODEL_DIR}}'" \{_TASK.rstrip()}
  --gin.INITIAL_CHECKPOINT_PATH="'${{PRETRAINED_MODEL}}'" \
  --gin.TRAIN_STEPS="1_150_000" \
  --gin.USE_CACHED_TASKS="False" \
  @MORE@ \
  --tfds_data_dir=${{TFDS_DATA_DIR}} {_SMALLER}
"""

# sst2-demo-eval.sh
_EVAL = rf"""
${{PROGRAM}} {_SEARCH} \
  --gin_file="prompt_tuning/configs/models/t5_1_1_base_prompt.gin" \
  --gin_file="prompt_tuning/configs/runs/prompt_eval.gin" \{_TASK.rstrip()}
  --gin.CHECKPOINT_PATH="'${{PRETRAINED_MODEL}}'" \
  --gin.EVAL_OUTPUT_DIR="'${{EVAL_DIR}}'" \
  --gin.utils.DatasetConfig.split="'validation'" \
  --gin.utils.DatasetConfig.batch_size="128" \
  --gin.USE_CACHED_TASKS="False" \
  --gin.PROMPT_FILE="'${{PROMPT_FILE}}'" \
  --tfds_data_dir=${{TFDS_DATA_DIR}} {_SMALLER}
"""

# The same with upstream's gin file for inference, which no script of upstream's shows.
_INFER = rf"""
${{PROGRAM}} {_SEARCH} \
  --gin_file="prompt_tuning/configs/models/t5_1_1_base_prompt.gin" \
  --gin_file="prompt_tuning/configs/runs/prompt_infer.gin" \{_TASK.rstrip()}
  --gin.CHECKPOINT_PATH="'${{PRETRAINED_MODEL}}'" \
  --gin.INFER_OUTPUT_DIR="'${{INFER_DIR}}'" \
  --gin.infer_script.infer.mode="'score'" \
  --gin.utils.DatasetConfig.split="'validation'" \
  --gin.PROMPT_FILE="'${{PROMPT_FILE}}'" \
  --tfds_data_dir=${{TFDS_DATA_DIR}} {_SMALLER}
"""

# The README's way to evaluate what a run itself wrote.
_EVAL_OF_A_RUN = rf"""
${{PROGRAM}} {_SEARCH} \
  --gin_file="prompt_tuning/configs/models/t5_1_1_base_prompt.gin" \
  --gin_file="t5x/configs/runs/eval.gin" \{_TASK.rstrip()}
  --gin.CHECKPOINT_PATH="'${{MODEL_DIR}}'" \
  --gin.utils.RestoreCheckpointConfig.mode="'all'" \
  --gin.utils.RestoreCheckpointConfig.assignment_map="()" \
  --gin.utils.RestoreCheckpointConfig.fallback_to_scratch="False" \
  --gin.EVAL_OUTPUT_DIR="'${{EVAL_DIR}}'" \
  --gin.utils.DatasetConfig.split="'validation'" \
  --tfds_data_dir=${{TFDS_DATA_DIR}} {_SMALLER}
"""


def _write_checkpoint(folder: str) -> str:
    """A random model of _SIZES as T5X stores it, in the folder that upstream's command names."""
    config = network.T5Config(
        vocab_size=_SIZES["NUM_EMBEDDINGS"],
        emb_dim=_SIZES["EMBED_DIM"],
        num_heads=_SIZES["NUM_HEADS"],
        head_dim=_SIZES["HEAD_DIM"],
        mlp_dim=_SIZES["MLP_DIM"],
        num_encoder_layers=_SIZES["NUM_ENCODER_LAYERS"],
        num_decoder_layers=_SIZES["NUM_DECODER_LAYERS"],
        dtype="float32",
    )
    model = models.EncoderDecoderModel(network.Transformer(config), None, None, None)
    shapes = {"encoder_input_tokens": (1, 8), "decoder_input_tokens": (1, 8)}
    variables = jax.jit(lambda key: model.get_initial_variables(key, shapes))(jax.random.key(0))
    params = traverse_util.flatten_dict(nn.meta.unbox(variables["params"]), sep="/")
    made = t5x_format.write_checkpoint(folder, _LAST_STEP - _STEPS, jax.device_get(params))
    path = os.path.join(folder, "checkpoint_1100000")
    os.rename(made, path)
    return path


def _write_sst2(folder: str) -> None:
    (dataset,) = offline_tfds.parse("glue/sst2:2.0.0")
    files = {}
    for split, repeats in (("train", 40), ("validation", 2)):
        files[split] = os.path.join(folder, f"{split}.tsv")
        with open(files[split], "w", encoding="utf-8") as file:
            file.write("sentence\tlabel\n")
            file.writelines(f"{text} \t{label}\n" for text, label in _ROWS * repeats)
    offline_tfds.make(dataset, files, folder)


class DemoCommandsTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        cls.folder = cls.enterClassContext(made)
        tfds_dir = os.path.join(cls.folder, "tfds")
        os.makedirs(tfds_dir)
        _write_sst2(tfds_dir)
        cls.checkpoint = _write_checkpoint(os.path.join(cls.folder, "base"))
        kept = {k: v for k, v in os.environ.items() if k != "BUILD_WORKING_DIRECTORY"}
        cls.environment = kept | {
            "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, sys.path[1:])]),
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": os.path.join(cls.folder, "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            # Where upstream's scripts find the gin files of packages that are not needed here.
            "T5X_DIR": os.path.join(cls.folder, "no_t5x", ".."),
            "FLAXFORMER_DIR": os.path.join(cls.folder, "no_flaxformer", ".."),
            "PROMPT_DIR": str(_ROOT / "prompt_tuning" / ".."),
            "PRETRAINED_MODEL": cls.checkpoint,
            "TFDS_DATA_DIR": tfds_dir,
            "VOCABULARY": str(_VOCABULARY),
        }

    def shell(self, command: str, program: str, **variables: str) -> str:
        """Runs the command with a program in its folder; returns what it printed."""
        path = _ROOT / "prompt_tuning" / f"{program}.py"
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.folder,
            env=self.environment | {"PROGRAM": f"{sys.executable} {path}"} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        return done.stdout

    def folder_of(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def assert_trained(self, model_dir: str) -> np.ndarray:
        """The run went from the checkpoint's step to TRAIN_STEPS; returns its prompt."""
        names = set(os.listdir(model_dir))
        self.assertContainsSubset({"config.gin", "model-info.txt", "numpy_checkpoints"}, names)
        self.assertIn(f"checkpoint_{_LAST_STEP}", names)
        prompts = os.path.join(model_dir, "numpy_checkpoints")
        first, last = (
            np.load(os.path.join(prompts, f"checkpoint_{step}", "encoder.prompt.prompt.prompt"))
            for step in (_LAST_STEP - _STEPS, _LAST_STEP)
        )
        self.assertEqual((last.shape, last.dtype), ((100, 16), np.float32))
        # At this step of the optimizer's clock each step moves the prompt by the learning rate.
        self.assertBetween(np.sqrt(np.mean((last - first) ** 2)), 0.2, 0.3 * _STEPS + 1e-3)
        return last

    def test_a_train_then_evaluate(self):
        """sst2-demo.sh, then sst2-demo-eval.sh and inference with the prompt that it made."""
        model_dir, eval_dir = self.folder_of("sst2"), self.folder_of("sst2_eval")
        infer_dir = self.folder_of("sst2_infer")
        command = _TRAIN.replace("@MORE@", "")
        self.shell(command, "train", MODEL_DIR=model_dir, SIZE="base")
        self.assert_trained(model_dir)
        prompt_file = os.path.join(
            model_dir,
            "numpy_checkpoints",
            f"checkpoint_{_LAST_STEP}",
            "encoder.prompt.prompt.prompt",
        )
        self.shell(_EVAL, "eval", EVAL_DIR=eval_dir, PROMPT_FILE=prompt_file)
        self.assert_evaluated(eval_dir, [_LAST_STEP - _STEPS])
        self.shell(_INFER, "infer", INFER_DIR=infer_dir, PROMPT_FILE=prompt_file)
        self.assert_answered(infer_dir)

    def assert_answered(self, infer_dir: str) -> None:
        name = "taskless_glue_sst2_v200_examples-score.jsonl-00000-of-00001"
        self.assertContainsSubset({name, f"{name}.COMPLETED"}, os.listdir(infer_dir))
        with open(os.path.join(infer_dir, name), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        texts = [line["inputs"]["inputs_pretokenized"] for line in lines]
        self.assertCountEqual(texts, [f"sentence: {text} " for text, _ in _ROWS * 2])
        for line in lines:
            self.assertLess(line["score"], 0)

    def assert_evaluated(self, eval_dir: str, steps: list[int]) -> None:
        task = "taskless_glue_sst2_v200_examples"
        results = os.path.join(eval_dir, "inference_eval")
        with open(os.path.join(results, f"{task}-metrics.jsonl"), encoding="utf-8") as file:
            metrics = [json.loads(line) for line in file]
        self.assertContainsSubset(steps, [line["step"] for line in metrics])
        self.assertBetween(metrics[-1]["accuracy"], 0, 100)
        with open(os.path.join(eval_dir, f"eval.{task}.ckpt"), encoding="utf-8") as file:
            self.assertLen(file.read().splitlines(), len(steps))

    def test_xxl(self):
        """sst2-demo-xxl.sh: its batch size and, for one device, its submesh of one."""
        more = (
            '--gin.BATCH_SIZE="32" '
            '--gin.partitioning.PjitPartitioner.model_parallel_submesh="(1, 1, 1, 1)" '
            '--gin.utils.SaveCheckpointConfig.keep="20" '
            '--gin.train_script.train.full_checkpoints="True"'
        )
        model_dir, eval_dir = self.folder_of("xxl"), self.folder_of("xxl_eval")
        self.shell(_TRAIN.replace("@MORE@", more), "train", MODEL_DIR=model_dir, SIZE="xxl")
        prompt = self.assert_trained(model_dir)
        target = t5x_format.open_checkpoint(model_dir).target()
        self.assertContainsSubset(t5x_format.open_checkpoint(self.checkpoint).target(), target)
        np.testing.assert_array_equal(target["encoder/prompt/prompt/prompt"].get(), prompt)
        steps = [_LAST_STEP - _STEPS, _LAST_STEP]
        self.shell(_EVAL_OF_A_RUN, "eval", MODEL_DIR=model_dir, EVAL_DIR=eval_dir)
        self.assert_evaluated(eval_dir, steps)
        self.shell(_EVAL_OF_A_RUN, "eval", MODEL_DIR=model_dir, EVAL_DIR=eval_dir)
        self.assert_evaluated(eval_dir, steps)  # What was evaluated is passed over.

    def test_dry_run(self):
        command = _TRAIN.replace("@MORE@", "--dry_run")
        out = self.shell(command, "train", MODEL_DIR=self.folder_of("dry"), SIZE="base")
        self.assertIn("train_script.train.total_steps = %TRAIN_STEPS", out)
        self.assertRegex(out, r"trainable +1,600 +\(100, 16\)  encoder/prompt/prompt/prompt")
        self.assertIn("(128, 512)  encoder_input_tokens", out)
        self.assertRegex(out, r"[0-9.]+ [kMG]B  in all")
        self.assertFalse(os.path.exists(self.folder_of("dry")))


if __name__ == "__main__":
    absltest.main()
