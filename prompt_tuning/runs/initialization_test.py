# SPDX-License-Identifier: Apache-2.0
import functools
import json
import os

import jax
import numpy as np
from absl.testing import absltest
from flax import linen as nn

from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.config import checkpoint_config
from prompt_tuning.models import models, network
from prompt_tuning.partitioning import partitioner
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.runs import initialization

jax.config.update("jax_numpy_rank_promotion", "raise")

GOLDEN = os.path.join(os.path.dirname(__file__), "../../tests/testdata/golden_checkpoints")
SHAPES = {"encoder_input_tokens": (1, 8), "decoder_input_tokens": (1, 4)}
PROMPT = "encoder/prompt/prompt/prompt"


def make_model(length=7, mlp_dim=40, encoder_layers=2):
    config = network.T5Config(
        vocab_size=384, emb_dim=16, num_heads=4, head_dim=6, mlp_dim=mlp_dim,
        num_encoder_layers=encoder_layers, num_decoder_layers=3, dtype="float32",
    )  # fmt: skip
    make_prompt = functools.partial(prompt.Prompt, length, nn.initializers.uniform(0.5))
    module = prompted_network.PromptedTransformer(
        config, prompt_factory=lambda: combine.Prompt(make_prompt())
    )
    return models.EncoderDecoderModel(module, None, None, None)


def restore(path="checkpoint_1000", **fields):
    settings = {
        "mode": "specific",
        "assignment_map": ((r"^.*prompt.*$", None),),
        "fallback_to_scratch": True,
        **fields,
    }
    return checkpoint_config.RestoreCheckpointConfig(os.path.join(GOLDEN, path), **settings)


def initialize(model, config=None, seed=0):
    return initialization.initial_parameters(model, SHAPES, jax.random.PRNGKey(seed), config)


class InitializationTest(absltest.TestCase):
    def golden(self):
        return dict(np.load(os.path.join(GOLDEN, "params.npz")))

    def test_frozen_weights_are_the_checkpoints_and_the_prompt_is_drawn(self):
        initial = initialize(make_model(), restore())
        golden = self.golden()
        self.assertEqual(set(initial.params), set(golden) | {PROMPT})
        for name, value in golden.items():
            np.testing.assert_array_equal(initial.params[name], value, err_msg=name)
        self.assertEqual(initial.step, 1000)
        self.assertEqual(initial.drawn, (PROMPT,))
        self.assertEqual(initial.params[PROMPT].shape, (7, 16))

    def test_drawn_prompt_is_that_of_a_whole_initialization(self):
        whole = initialize(make_model(), seed=3)
        part = initialize(make_model(), restore(), seed=3)
        np.testing.assert_array_equal(part.params[PROMPT], whole.params[PROMPT])
        other = initialize(make_model(), restore(), seed=4)
        self.assertFalse(np.array_equal(part.params[PROMPT], other.params[PROMPT]))

    def test_everything_from_scratch(self):
        initial = initialize(make_model())
        self.assertEqual(initial.drawn, tuple(sorted(initial.params)))
        self.assertEqual((initial.step, initial.fingerprint), (0, ""))

    def test_self_contained_checkpoint_gives_its_own_prompt(self):
        folder = self.create_tempdir().full_path
        params = {**self.golden(), PROMPT: np.full((7, 16), 0.25, np.float32)}
        t5x_format.write_checkpoint(folder, 1010, params)
        path = os.path.join(folder, "checkpoint_1010")
        initial = initialize(make_model(), restore(path, assignment_map=()))
        np.testing.assert_array_equal(initial.params[PROMPT], params[PROMPT])
        self.assertEqual((initial.drawn, initial.step), ((), 1010))

    def test_fingerprint_does_not_depend_on_how_values_are_stored(self):
        single = initialize(make_model(), restore())
        rounded = initialize(make_model(), restore("legacy_bf16/checkpoint_1000"))
        same = initialize(make_model(), restore("legacy_bf16/checkpoint_1000", dtype="bfloat16"))
        self.assertEqual(rounded.fingerprint, same.fingerprint)
        self.assertNotEqual(single.fingerprint, rounded.fingerprint)

    def test_scanned_layers(self):
        golden, scanned = self.golden(), {}
        for name, value in golden.items():
            stack, _, rest = name.partition("/layers_")
            if name.endswith("relpos_bias/rel_embedding"):
                stack, count = name.split("/")[0], 2 if name.startswith("encoder") else 3
                # Scanned layers have a table each.
                scanned[f"{stack}/{name}"] = np.stack([value] * count, axis=1)
            elif not rest:
                scanned[name] = value
            elif rest.startswith("0/"):
                count = 2 if stack == "encoder" else 3
                layers = [golden[f"{stack}/layers_{i}{rest[1:]}"] for i in range(count)]
                scanned[f"{stack}/{stack}{rest[1:]}"] = np.stack(layers, axis=1)
        self.assertLess(len(scanned), len(golden))
        folder = self.create_tempdir().full_path
        t5x_format.write_checkpoint(folder, 1000, scanned)
        ours = initialize(make_model(), restore(folder, mode="latest"))
        for name, value in golden.items():
            np.testing.assert_array_equal(ours.params[name], value, err_msg=name)
        self.assertEqual(ours.fingerprint, initialize(make_model(), restore()).fingerprint)

    def test_the_latest_of_a_model_directory(self):
        folder = self.create_tempdir().full_path
        for step in (7, 12):
            t5x_format.write_checkpoint(folder, step, self.golden())
        self.assertEqual(initialize(make_model(), restore(folder, mode="latest")).step, 12)
        with self.assertRaisesRegex(ValueError, "means 2 checkpoints"):
            initialize(make_model(), restore(folder, mode="all"))

    def test_wrong_size_names_the_array_and_both_shapes(self):
        with self.assertRaisesRegex(ValueError, r"wi_0/kernel has shape \(16, 40\).*\(16, 48\)"):
            initialize(make_model(mlp_dim=48), restore())

    def test_left_out_parameter_needs_fallback(self):
        with self.assertRaisesRegex(ValueError, "fallback_to_scratch = True"):
            initialize(make_model(), restore(fallback_to_scratch=False))

    def test_a_parameter_that_no_rule_leaves_out_is_told(self):
        pattern = r"\d+ parameters .* at random, for example encoder/layers_2/attention/key/kernel"
        with self.assertLogs(level="WARNING") as logs:
            initial = initialize(make_model(encoder_layers=3), restore())
        self.assertRegex(logs.output[0], pattern)
        self.assertIn("encoder/layers_2/mlp/wo/kernel", initial.drawn)
        with self.assertNoLogs(level="WARNING"):
            rules = ((r".*prompt.*", None), (r".*/encoder/layers_2/.*", None))
            initialize(make_model(encoder_layers=3), restore(assignment_map=rules))

    def test_missing_checkpoint_names_the_path(self):
        with self.assertRaisesRegex(FileNotFoundError, "nowhere"):
            initialize(make_model(), restore("nowhere"))

    def test_only_what_is_drawn_is_computed(self):
        part = partitioner.Partitioner()
        drawn = initialization.draw(make_model(), SHAPES, jax.random.PRNGKey(0), (PROMPT,), part)
        self.assertEqual(list(drawn), [PROMPT])
        self.assertEqual(json.dumps(drawn[PROMPT].shape), "[7, 16]")


if __name__ == "__main__":
    absltest.main()
