# SPDX-License-Identifier: Apache-2.0
"""Tests of the report of --dry_run."""

import jax
import jax.numpy as jnp
from absl.testing import absltest, parameterized
from flax import linen as nn
from flax import traverse_util

from prompt_tuning.config import dataset_config, partitioning
from prompt_tuning.models import models, network
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.runs import dry_run, initialization
from prompt_tuning.training import adafactor, optimizers, subset

jax.config.update("jax_numpy_rank_promotion", "raise")

_PROMPT = "encoder/prompt/prompt/prompt"
_LENGTHS = {"inputs": 96, "targets": 16}


def _model(regexes=(".*/prompt/.*",), dtype="float32"):
    config = network.T5Config(
        vocab_size=512,
        emb_dim=64,
        num_heads=4,
        head_dim=16,
        mlp_dim=128,
        num_encoder_layers=4,
        num_decoder_layers=3,
        dtype=dtype,
    )
    optimizer = optimizers.MultiOptimizer(
        [(optimizers.ModelParamTraversal(subset.match_any(list(regexes))), adafactor.Adafactor())]
    )
    module = prompted_network.PromptedTransformer(
        config,
        prompt_factory=lambda: combine.Prompt(prompt.Prompt(10, nn.initializers.uniform(0.5))),
    )
    return models.EncoderDecoderModel(module, None, None, optimizer)


def _dataset(lengths=_LENGTHS, batch_size=8):
    return dataset_config.DatasetConfig("task", lengths, "train", batch_size, False, 0)


class ReportTest(parameterized.TestCase):
    def test_training(self):
        text = dry_run.report({"model": _model(), "train_dataset_cfg": _dataset()})
        self.assertRegex(text, rf"trainable +640 +\(10, 64\)  {_PROMPT}\n")
        self.assertRegex(text, r"frozen +32,768 +\(512, 64\)  token_embedder/embedding\n")
        self.assertIn("trainable parameters: 640\n", text)
        self.assertIn("int32         (8, 96)  encoder_input_tokens\n", text)
        self.assertIn("int32         (8, 16)  decoder_loss_weights\n", text)
        self.assertRegex(text, r" 2\.6 kB  trained parameters\n +2\.6 kB  their gradients\n")
        self.assertRegex(text, r"B  in all$")

    def test_what_policies_save(self):
        def parts(**changes):
            model = _model()
            model.module = model.module.clone(config=model.module.config.replace(**changes))
            shapes = initialization.parameter_shapes(model, dry_run.batch_shapes(8, _LENGTHS))
            return dry_run.memory_parts(model, shapes, [_PROMPT], 8, _LENGTHS)

        plain, int8 = parts(), parts(frozen_dtype="int8", scan_layers=True)
        self.assertEqual(parts(scan_layers=True), plain)
        self.assertBetween(int8["frozen parameters"] / plain["frozen parameters"], 0.25, 0.3)
        minimal = parts(scan_layers=True, remat_policy="minimal")["activations"]
        full = parts(scan_layers=True, remat_policy="full")["activations"]
        self.assertLess(full, minimal)
        self.assertLess(minimal, plain["activations"])

    def test_evaluation_trains_nothing(self):
        text = dry_run.report({"model": _model(), "dataset_cfg": _dataset()})
        self.assertIn("trainable parameters: 0\n", text)
        self.assertNotIn("gradients", text)

    def test_plain_text_has_no_dataset(self):
        text = dry_run.report({"model": _model(), "dataset_cfg": None})
        self.assertIn("(1, 512)  encoder_input_tokens", text)

    def test_measured_lengths_are_said_to_be(self):
        text = dry_run.report({"model": _model(), "dataset_cfg": _dataset(None)})
        self.assertIn("lengths measured when the run begins", text)

    def test_a_wrong_regex_is_found(self):
        with self.assertRaisesRegex(ValueError, "matches none"):
            dry_run.report({"model": _model(["prompt"]), "train_dataset_cfg": _dataset()})

    def test_what_the_run_would_refuse(self):
        settings = {
            "model": _model(),
            "train_dataset_cfg": _dataset(),
            "partitioner": partitioning.PjitPartitioner(num_partitions=3),
        }
        with self.assertRaisesRegex(ValueError, "split over 3 devices each cannot share"):
            dry_run.report(settings)


class MemoryTest(parameterized.TestCase):
    @parameterized.parameters(
        ((".*/prompt/.*",), 8, _LENGTHS),
        ((".*/prompt/.*",), 32, {"inputs": 16, "targets": 64}),
        ((".*",), 8, {"inputs": 128, "targets": 8}),
    )
    def test_the_estimate_is_of_the_compilers_size(self, regexes, batch, lengths):
        model = _model(regexes)
        shapes = dry_run.batch_shapes(batch, lengths)
        estimate = dry_run.activation_bytes(model.module.config, batch, lengths, 10, True)
        self.assertBetween(estimate / _compilers_bytes(model, shapes), 1 / 3, 3)


def _compilers_bytes(model, shapes) -> int:
    """What the gradient of the loss for the trained parameters needs beside its arguments."""
    params = initialization.parameter_shapes(model, shapes)
    trained, frozen = subset.split(params, model.optimizer_def.trainable_regexes)
    batch = {name: jax.ShapeDtypeStruct(shape, jnp.int32) for name, shape in shapes.items()}

    def loss(trained, frozen, batch):
        nested = traverse_util.unflatten_dict({**trained, **frozen}, sep="/")
        return model.loss_fn(nested, batch, None)[0]

    compiled = jax.jit(jax.grad(loss)).lower(dict(trained), dict(frozen), batch).compile()
    return compiled.memory_analysis().temp_size_in_bytes


if __name__ == "__main__":
    absltest.main()
