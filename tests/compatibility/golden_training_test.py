# SPDX-License-Identifier: Apache-2.0
"""Training against numbers of the original implementation: curves, updates, checkpoints.

The real network with a prompt is trained for ten steps; the original's own checkpoint of the tenth
step is resumed. golden_tiny (factored second moments, step 1,100,000) needs
PROMPT_TUNING_SHARED_DATA.
"""

import functools
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.models import models, network
from prompt_tuning.prompts import combine, prompted_network
from prompt_tuning.prompts import prompt as prompts
from prompt_tuning.training import (
    adafactor,
    checkpointing,
    loop,
    optimizers,
    row_groups,
    schedules,
    train_state,
)
from prompt_tuning.training import trainer as trainer_lib

jax.config.update("jax_numpy_rank_promotion", "raise")

_HERE = pathlib.Path(__file__)
_TESTDATA = _HERE.parent.parent / "testdata"
_SHARED_DATA = pathlib.Path(
    os.environ.get("PROMPT_TUNING_SHARED_DATA", _HERE.resolve().parents[3] / "shared" / "data")
)
_CURVES = _HERE.parents[2] / "prompt_tuning" / "training" / "testdata" / "golden_adafactor.npz"
_PROMPT = "encoder/prompt/prompt/prompt"
_STEPS = 10
_BATCH_FEATURES = (
    "encoder_input_tokens",
    "decoder_input_tokens",
    "decoder_target_tokens",
    "decoder_loss_weights",
)


@functools.cache
def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def _golden(first_step: int, name: str) -> np.ndarray:
    return _arrays(_CURVES)[f"curve/step{first_step}/{name}"]


def _batch() -> dict[str, np.ndarray]:
    arrays = _arrays(_TESTDATA / "golden_a" / "model.npz")
    return {name: arrays[f"batch/{name}"] for name in _BATCH_FEATURES}


def _params() -> dict[str, np.ndarray]:
    params = _arrays(_TESTDATA / "golden_a" / "params.npz")
    return {**params, _PROMPT: _arrays(_CURVES)["curve/prompt0"]}


def _optimizer() -> optimizers.MultiOptimizer:
    """What upstream's models/t5_1_1_prompt.gin binds."""
    traversal = optimizers.ModelParamTraversal(optimizers.match_any([".*/prompt/.*"]))
    rules = adafactor.standard_logical_factor_rules()
    return optimizers.MultiOptimizer(
        [
            (
                traversal,
                adafactor.Adafactor(
                    decay_rate=0.8,
                    step_offset=0,
                    multiply_by_parameter_scale=False,
                    weight_decay_rate=1e-5,
                    logical_factor_rules=rules,
                ),
            )
        ]
    )


@functools.cache  # Holds no state; compiles once for the tests that use the same one.
def _trainer(dtype: str = "float32", **kwargs) -> trainer_lib.Trainer:
    config = network.T5Config(
        vocab_size=384,
        emb_dim=16,
        num_heads=4,
        head_dim=6,
        mlp_dim=40,
        num_encoder_layers=2,
        num_decoder_layers=3,
        dtype=dtype,
    )
    module = prompted_network.PromptedTransformer(
        config, prompt_factory=lambda: combine.Prompt(prompts.Prompt(length=7, dtype=dtype))
    )
    model = models.EncoderDecoderModel(module, None, None, _optimizer(), z_loss=1e-4)
    return trainer_lib.Trainer(
        model,
        model.optimizer_def,
        schedules.create_learning_rate_scheduler("constant", 0.3),
        rng=jax.random.PRNGKey(0),
        **kwargs,
    )


def _curve(trainer: trainer_lib.Trainer, first_step: int):
    """Returns (losses before each update, prompts after each update, the last state)."""
    state, frozen = trainer.init_state(_params(), first_step)
    losses, trace = [], []
    for _ in range(_STEPS):
        state, metrics = trainer.train_step(state, frozen, _batch())
        losses.append(float(metrics["loss"]))
        trace.append(np.asarray(state.params[_PROMPT]))
    return np.array(losses), np.stack(trace), state


class CurveTest(parameterized.TestCase):
    @parameterized.parameters(0, 1000)
    def test_ten_steps_of_the_real_network(self, first_step):
        trainer = _trainer()
        losses, trace, state = _curve(trainer, first_step)
        np.testing.assert_allclose(losses, _golden(first_step, "losses"), rtol=1e-5)
        np.testing.assert_allclose(trace, _golden(first_step, "prompts"), rtol=0, atol=1e-3)
        moment = state.opt_state[_PROMPT]["v"]
        np.testing.assert_allclose(moment, _golden(first_step, "final_v"), rtol=1e-3)
        self.assertEqual(trainer.compilations, 1)

    def test_microbatches_give_the_same_curve(self):
        # Five examples: five microbatches of one.
        losses, _, _ = _curve(_trainer(num_microbatches=5), 1000)
        np.testing.assert_allclose(losses, _golden(1000, "losses"), rtol=1e-5)

    def test_groups_of_rows_give_the_same_curve(self):
        groups = row_groups.RowGroups(1, {"encoder": (4, 8, 16), "decoder": (2, 4, 8)})
        trainer = _trainer.__wrapped__(row_groups=groups)
        losses, trace, _ = _curve(trainer, 1000)
        np.testing.assert_allclose(losses, _golden(1000, "losses"), rtol=1e-5)
        np.testing.assert_allclose(trace, _golden(1000, "prompts"), rtol=0, atol=1e-3)
        self.assertGreater(trainer.compilations, 1)  # Rows of several widths.

    def test_bfloat16_activations_keep_a_float32_prompt(self):
        losses, _, state = _curve(_trainer("bfloat16"), 1000)
        self.assertEqual(state.params[_PROMPT].dtype, jnp.float32)
        # Beyond three steps the original's own jitted and eager curves part.
        np.testing.assert_allclose(losses[:3], _golden(1000, "bf16_losses")[:3], rtol=2e-3)

    def test_the_loop_runs_the_same_curve(self):
        trainer, step = _trainer(), 1000
        state, frozen = trainer.init_state(_params(), step)
        batches = iter([_batch()] * _STEPS)
        result = loop.run_training(trainer, state, frozen, batches, step + _STEPS)
        expected = np.mean(_golden(1000, "losses"))
        np.testing.assert_allclose(result.metrics["loss"], expected, rtol=1e-5)
        self.assertAlmostEqual(result.metrics["effective_batch_size/decoder_target_tokens"], 5.0)
        self.assertAlmostEqual(result.metrics["non_padding_fraction/loss_weights"], 31 / 45)


class CheckpointTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.model_dir = self.create_tempdir().full_path
        shutil.copytree(
            _TESTDATA / "golden_checkpoints" / "prompt_run", self.model_dir, dirs_exist_ok=True
        )

    def test_resumes_a_checkpoint_that_the_original_wrote(self):
        trainer = _trainer()
        state, _ = trainer.init_state(_params(), 0)
        restored = checkpointing.CheckpointManager(self.model_dir).restore_latest(state)
        self.assertEqual(int(restored.state.step), 1010)
        self.assertIsNone(restored.record)
        np.testing.assert_array_equal(restored.state.params[_PROMPT], _golden(1000, "prompts")[-1])
        np.testing.assert_array_equal(
            restored.state.opt_state[_PROMPT]["v"], _golden(1000, "final_v")
        )

    def test_writes_what_the_original_writes(self):
        trainer = _trainer()
        state, frozen = trainer.init_state(_params(), 0)
        theirs = checkpointing.CheckpointManager(self.model_dir)
        restored = theirs.restore_latest(state)
        other_dir = self.create_tempdir().full_path
        ours = checkpointing.CheckpointManager(other_dir, save_paths=[".*/prompt/.*"])
        ours.save(restored.state, frozen=frozen)
        for path in sorted(pathlib.Path(self.model_dir).rglob("*")):
            if path.is_file():
                copy = pathlib.Path(other_dir) / path.relative_to(self.model_dir)
                self.assertTrue(copy.is_file(), copy)
                # Compressed chunks depend on the zlib at hand; their values are compared below.
                if path.name in ("checkpoint", "encoder.prompt.prompt.prompt"):
                    self.assertEqual(copy.read_bytes(), path.read_bytes(), copy)
        again = ours.restore_latest(state)
        for a, b in zip(jax.tree.leaves(again.state), jax.tree.leaves(restored.state), strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


class TinyAdafactorTest(parameterized.TestCase):
    @parameterized.product(shape=("5x256", "100x512", "150x256"), step=(0, 1_100_000))
    def test_three_updates(self, shape, step):
        path = _SHARED_DATA / "golden_tiny" / "adafactor.npz"
        if not path.exists():
            self.skipTest(f"{path} is not here; set PROMPT_TUNING_SHARED_DATA to run this test")
        with np.load(path) as golden:
            optimizer = _optimizer()
            params = {_PROMPT: jnp.asarray(golden[f"{shape}/init"])}
            slots = optimizer.init(params)
            for i, grad in enumerate(golden[f"{shape}/grads"]):
                params, slots = optimizer.update(
                    {_PROMPT: jnp.asarray(grad)}, slots, params, jnp.int32(step + i), 0.3
                )
            final = golden[f"{shape}/step{step}/final"]
            np.testing.assert_allclose(params[_PROMPT], final, rtol=0, atol=1e-6)
            for name, value in train_state.flatten_slots(slots).items():
                expected = golden[f"{shape}/step{step}/state_{name.rpartition('/')[2]}"]
                self.assertEqual(value.shape, expected.shape)
                np.testing.assert_allclose(value, expected, rtol=1e-6)


if __name__ == "__main__":
    absltest.main()
