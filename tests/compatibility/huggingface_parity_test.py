# SPDX-License-Identifier: Apache-2.0
"""Models and adapters against PyTorch, transformers and PEFT themselves, both ways.

They live in an environment of their own (third_party/huggingface_peers), whose Python is named by
PROMPT_TUNING_HUGGINGFACE_PYTHON; without it the tests are skipped. Two runs of it are all: one
makes random models and trains adapters, the other reads what was written here from them.

Inputs are longer than the relative positions that have a bucket of their own, and padded.
"""

import json
import os
import pathlib
import subprocess
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from flax import traverse_util

from prompt_tuning.checkpoints import (
    huggingface_format,
    peft_adapter,
    scanned_layers,
    t5x_format,
)
from prompt_tuning.models import decoding, models, network
from prompt_tuning.prompts import combine, prompted_network
from prompt_tuning.prompts import prompt as prompts

jax.config.update("jax_numpy_rank_promotion", "raise")

_PYTHON = os.environ.get("PROMPT_TUNING_HUGGINGFACE_PYTHON", "")
_PEER = pathlib.Path(__file__).with_name("huggingface_peer.py")
_PATIENCE = 540  # Seconds; PyTorch's imports alone take 20 on a loaded machine.
_TOLERANCE = 1e-4
_NEW_TOKENS = 12
_GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
# Everything that Flan and the LM-adapted releases share with T5 1.1 is their architecture.
_MODELS = {
    "t5_1_0": ("t5", {}, False, "float32", "whole"),
    "t5_1_0_version_4": ("t5", {}, False, "float32", "version_4"),
    "t5_1_1": ("t5", _GATED, True, "float32", "whole"),
    "t5_1_1_version_4": ("t5", _GATED, True, "float32", "version_4"),
    "t5_1_1_shards": ("t5", _GATED, True, "bfloat16", "shards"),
    "t5_1_1_pickle": ("t5", _GATED, True, "float16", "pickle"),
    "t5_1_1_one_table": ("t5", _GATED, False, "float32", "whole"),
    "ul2": ("t5", _GATED | {"feed_forward_proj": "gated-silu"}, True, "float32", "whole"),
    "mt5": ("mt5", _GATED, True, "float32", "whole"),
    "short_buckets": (
        "t5",
        {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 20},
        False,
        "float32",
        "whole",
    ),
}
_BASE = "t5_1_1"
_PROMPT_TUNING = {"peft_type": "PROMPT_TUNING"}
_MULTITASK = {"peft_type": "MULTITASK_PROMPT_TUNING", "num_tasks": 3, "num_ranks": 2}
_ADAPTERS = {
    "prompt_tuning": _PROMPT_TUNING | {"num_transformer_submodules": 1},
    "prompt_tuning_default": _PROMPT_TUNING,
    "prompt_tuning_pickle": _PROMPT_TUNING,
    "p_tuning": {"peft_type": "P_TUNING", "encoder_hidden_size": 8},
    "multitask": _MULTITASK | {"num_transformer_submodules": 1},
    "multitask_default": _MULTITASK,
}
# With a prompt in the decoder too, PEFT's teacher-forced logits are not those it generates with.
_GENERATES_OTHERWISE = ("multitask_default",)
_TASK_IDS = np.array([2, 0, 1, 2])


def _inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    tokens = rng.integers(2, 96, (4, 150))
    targets = rng.integers(2, 96, (4, 40))
    for row, (inputs, outputs) in enumerate(((150, 40), (100, 7), (17, 40), (1, 1))):
        tokens[row, inputs:] = 0
        targets[row, outputs:] = 0
    return {
        "encoder_input_tokens": tokens,
        "decoder_target_tokens": targets,
        "task_ids": _TASK_IDS,
    }


class _Ours:
    """A model opened and computed here."""

    def __init__(self, checkpoint: huggingface_format.HuggingFaceCheckpoint):
        fields = checkpoint.config.t5_config_fields()
        config = network.T5Config(**fields, dtype="float32")
        module = prompted_network.PromptedTransformer(
            config,
            prompt_factory=lambda: combine.Prompt(prompts.Prompt(1, jax.nn.initializers.zeros)),
        )
        self.width = config.emb_dim
        self.model = models.EncoderDecoderModel(
            module, None, None, None, decoding.temperature_sample
        )
        arrays = t5x_format.read_arrays(checkpoint.target(), "float32")
        self.params = traverse_util.unflatten_dict(arrays, sep="/")

    def run(self, prompt: np.ndarray | None = None) -> dict[str, np.ndarray]:
        inputs = {name: jnp.asarray(value, jnp.int32) for name, value in _inputs().items()}
        targets = inputs["decoder_target_tokens"]
        inputs["decoder_input_tokens"] = models.shift_right(targets)
        extra = {"prompt": jnp.zeros((0, self.width)) if prompt is None else jnp.asarray(prompt)}

        @jax.jit
        def compute(params, extra):
            logits = self.model._compute_logits(params, inputs, None, extra)
            short = inputs | {"decoder_input_tokens": targets[:, :_NEW_TOKENS]}
            greedy = {"decode_rng": jax.random.key(0), "temperature": 0.0}
            tokens = self.model.predict_batch(params, short, decoder_params=greedy, **extra)
            return {"logits": logits, "tokens": tokens}

        return jax.device_get(compute(self.params, extra))


class ParityTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not _PYTHON:
            raise absltest.SkipTest(
                "PROMPT_TUNING_HUGGINGFACE_PYTHON names no environment with PyTorch; "
                "third_party/huggingface_peers/README.md says how to make one"
            )
        made = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        cls.root = pathlib.Path(cls.enterClassContext(made))
        np.savez(cls.path("inputs.npz"), **_inputs())
        keys = ("model_type", "config", "own_head", "dtype", "form")
        jobs = [
            {"job": "make_model", "directory": cls.path(name), "output": cls.path(f"{name}.npz")}
            | dict(zip(keys, values, strict=True))
            for name, values in _MODELS.items()
        ]
        jobs += [
            {
                "job": "train_adapter",
                "base": cls.path(_BASE),
                "directory": cls.path(name),
                "output": cls.path(f"{name}.npz"),
                "config": config,
                "forward": name not in _GENERATES_OTHERWISE,
                "pickle": name.endswith("_pickle"),
            }
            for name, config in _ADAPTERS.items()
        ]
        cls.peer(jobs)
        cls.peer([*cls.written_models(), *cls.written_adapters()])

    @classmethod
    def path(cls, name: str) -> str:
        return str(cls.root / name)

    @classmethod
    def peer(cls, jobs) -> None:
        request = cls.path("request.json")
        with open(request, "w") as file:
            json.dump({"inputs": cls.path("inputs.npz"), "jobs": jobs}, file)
        done = subprocess.run(
            [_PYTHON, _PEER, request],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            # Not this environment's packages, and one thread on a machine with few.
            env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "HOME": cls.path("")},
        )
        if done.returncode:
            raise AssertionError(done.stderr[-4000:])

    @classmethod
    def written_models(cls):
        """Every model by way of T5X's format, scanned for some, and back as a folder."""
        for index, name in enumerate(_MODELS):
            opened = huggingface_format.open_checkpoint(cls.path(name))
            leaves = scanned_layers.stack(opened.leaves) if index % 2 else opened.leaves
            native = cls.path(f"{name}_t5x")
            target = {key.removeprefix("target/"): leaf for key, leaf in leaves.items()}
            t5x_format.write_checkpoint(native, 0, target, save_dtype=None)
            leaves = scanned_layers.unstack(t5x_format.open_checkpoint(native).leaves)
            leaves = scanned_layers.share_biases(leaves)
            huggingface_format.write_checkpoint(
                cls.path(f"{name}_ours"),
                t5x_format.Checkpoint(native, 0, leaves).target(),
                feed_forward_proj=opened.config.feed_forward_proj,
                model_type=opened.config.model_type,
                relative_attention_max_distance=opened.config.relative_attention_max_distance,
                shard_bytes=20_000 if index % 3 else 10**9,
            )
            yield {
                "job": "run_model",
                "directory": cls.path(f"{name}_ours"),
                "output": cls.path(f"{name}_ours.npz"),
            }

    @classmethod
    def written_adapters(cls):
        """A prompt of ours, and prompts of several tasks."""
        cls.prompts = np.random.default_rng(3).normal(size=(3, 5, 24)).astype(np.float32)
        for name, array in (("ours", cls.prompts[0]), ("ours_multitask", cls.prompts)):
            peft_adapter.write_adapter(
                cls.path(f"adapter_{name}"),
                array,
                num_layers=3,
                num_attention_heads=4,
                base_model=cls.path(_BASE),
            )
            yield {
                "job": "run_adapter",
                "base": cls.path(_BASE),
                "directory": cls.path(f"adapter_{name}"),
                "output": cls.path(f"adapter_{name}.npz"),
                "tasks": array.ndim == 3,
            }

    def assert_results(self, found: dict[str, np.ndarray], name: str) -> None:
        with np.load(self.path(f"{name}.npz")) as file:
            expected = dict(file)
        if "logits" in expected:
            real = _inputs()["decoder_target_tokens"] > 0
            worst = float(np.abs(found["logits"] - expected["logits"])[real].max())
            scale = float(np.abs(expected["logits"][real]).max())
            print(f"{name}: largest difference {worst:.1e} of logits up to {scale:.1f}")
            self.assertGreater(scale, 0.5)  # Else the tolerance would say nothing.
            self.assertLess(worst, _TOLERANCE)
        ours, theirs = found["tokens"], expected["tokens"]
        # After the end of a row nothing counts, and theirs end with the longest.
        width = theirs.shape[1]
        ended = np.cumsum(ours == 1, axis=1) - (ours == 1) > 0
        np.testing.assert_array_equal(np.where(ended, 0, ours)[:, :width], theirs)

    @parameterized.parameters(*_MODELS)
    def test_a_model_of_theirs(self, name):
        checkpoint = huggingface_format.open_checkpoint(self.path(name))
        self.assert_results(_Ours(checkpoint).run(), name)

    @parameterized.parameters(*_MODELS)
    def test_a_model_written_here(self, name):
        with np.load(self.path(f"{name}.npz")) as file:
            expected = dict(file)
        with np.load(self.path(f"{name}_ours.npz")) as file:
            # The same weights by the same program: no tolerance.
            np.testing.assert_array_equal(file["logits"], expected["logits"])
            np.testing.assert_array_equal(file["tokens"], expected["tokens"])

    @parameterized.parameters(*_ADAPTERS)
    def test_an_adapter_that_they_trained(self, name):
        adapter = peft_adapter.read_adapter(self.path(name))
        self.assertEqual(adapter.base_model, self.path(_BASE))
        is_multitask = len(adapter.prompts) > 1
        prompt = adapter.prompts[_TASK_IDS] if is_multitask else adapter.prompt()
        ours = _Ours(huggingface_format.open_checkpoint(self.path(_BASE)))
        self.assert_results(ours.run(prompt), name)

    @parameterized.parameters("ours", "ours_multitask")
    def test_an_adapter_written_here(self, name):
        prompt = self.prompts[0] if name == "ours" else self.prompts[_TASK_IDS]
        ours = _Ours(huggingface_format.open_checkpoint(self.path(_BASE)))
        found = ours.run(prompt)
        self.assert_results(found, f"adapter_{name}")
        without = ours.run()
        self.assertGreater(np.abs(without["logits"] - found["logits"]).max(), 0.1)


if __name__ == "__main__":
    absltest.main()
