# SPDX-License-Identifier: Apache-2.0
"""Tests of saving and restoring: round trips, refusals, and a process killed while it writes."""

import json
import os
import signal
import subprocess
import sys
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import prompt_files, t5x_format
from prompt_tuning.training import adafactor, checkpointing, toy_model, train_state

jax.config.update("jax_numpy_rank_promotion", "raise")

_RECORD = checkpointing.RunRecord("1-abc", (toy_model.PROMPT_REGEX,), 7, first_step=1000)


def _state(step=1000, prompt_length=3, width=8, seed=0, optimizer=None):
    """A state whose slots are not zero."""
    random = np.random.RandomState(seed)
    prompt = {toy_model.PROMPT: random.normal(size=(prompt_length, width)).astype(np.float32)}
    optimizer = optimizer or adafactor.Adafactor()
    slots = optimizer.init({name: jnp.asarray(value) for name, value in prompt.items()})
    slots = jax.tree.map(lambda a: jnp.asarray(random.uniform(size=a.shape), a.dtype), slots)
    return train_state.TrainState.create(step, prompt, slots)


class TestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.model_dir = self.create_tempdir().full_path

    def manager(self, **kwargs):
        return checkpointing.CheckpointManager(self.model_dir, **{"record": _RECORD, **kwargs})

    def steps(self):
        return t5x_format.checkpoint_steps(self.model_dir)


class RoundTripTest(TestCase):
    @parameterized.parameters(
        ({}, 3, 8),
        ({"beta1": 0.9}, 3, 8),
        ({}, 130, 140),  # Factored.
    )
    def test_bit_for_bit(self, arguments, prompt_length, width):
        optimizer = adafactor.Adafactor(**arguments)
        saved = _state(1234, prompt_length, width, optimizer=optimizer)
        self.manager().save(saved)
        fresh = _state(0, prompt_length, width, seed=1, optimizer=optimizer)
        restored = self.manager().restore_latest(fresh)
        self.assertEqual(jax.tree.structure(restored.state), jax.tree.structure(saved))
        for ours, theirs in zip(
            jax.tree.leaves(restored.state), jax.tree.leaves(saved), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs, strict=True)
        self.assertEqual(restored.record, _RECORD)
        self.assertIsNone(restored.data_position)

    def test_nothing_to_restore(self):
        self.assertIsNone(self.manager().restore_latest(_state()))

    def test_the_frozen_weights_are_not_copied(self):
        path = self.manager().save(_state())
        self.assertEqual(list(t5x_format.open_checkpoint(path).target()), [toy_model.PROMPT])

    def test_a_full_checkpoint_on_request(self):
        frozen = {"token_embedder/embedding": jnp.ones((16, 8))}
        path = self.manager().save(_state(), frozen=frozen)
        names = set(t5x_format.open_checkpoint(path).target())
        self.assertEqual(names, {toy_model.PROMPT, "token_embedder/embedding"})
        restored = self.manager().restore_latest(_state(seed=1))
        self.assertEqual(set(restored.state.params), {toy_model.PROMPT})

    def test_a_full_checkpoint_has_its_layers_one_by_one(self):
        stacked = jnp.arange(6.0).reshape(2, 3)
        path = self.manager().save(_state(), frozen={"encoder/layers/mlp_norm/scale": stacked})
        target = t5x_format.open_checkpoint(path).target()
        names = [f"encoder/layers_{i}/mlp_norm/scale" for i in range(2)]
        self.assertCountEqual(target, [toy_model.PROMPT, *names])
        np.testing.assert_array_equal(target[names[1]].get(), [3, 4, 5])

    def test_data_position(self):
        batches = toy_model.Batches(start=17)
        self.manager().save(_state(), batches.save)
        restored = self.manager().restore_latest(_state())
        other = toy_model.Batches()
        other.restore(restored.data_position)
        self.assertEqual(other.position, 17)
        self.assertStartsWith(os.path.basename(restored.data_position), "train_ds-000-of-001")

    def test_older_data_positions_are_removed(self):
        batches = toy_model.Batches(start=17)
        manager = self.manager(keep_dataset_checkpoints=1)
        manager.save(_state(1000), batches.save)
        pinned = os.path.join(self.model_dir, "checkpoint_1000", "PINNED")
        with open(pinned, "w", encoding="utf-8"):
            pass
        for step in (1001, 1002):
            manager.save(_state(step), batches.save)
        with_position = [
            step
            for step in self.steps()
            if any(
                name.startswith(checkpointing.DATA_POSITION)
                for name in os.listdir(os.path.join(self.model_dir, f"checkpoint_{step}"))
            )
        ]
        self.assertEqual(self.steps(), [1000, 1001, 1002])
        self.assertEqual(with_position, [1000, 1002])
        self.assertIsNotNone(self.manager().restore_latest(_state()).data_position)

    def test_numpy_prompts_lie_beside(self):
        state = _state()
        self.manager(save_paths=[".*/prompt/.*"]).save(state)
        path = os.path.join(
            self.model_dir,
            "numpy_checkpoints/checkpoint_1000/encoder.prompt.prompt.prompt",
        )
        np.testing.assert_array_equal(np.load(path), state.params[toy_model.PROMPT])
        np.testing.assert_array_equal(prompt_files.read_prompt(path), np.load(path))

    def test_save_paths_match_the_whole_name_without_a_leading_slash(self):
        self.manager(save_paths=["/encoder/prompt/.*", "prompt"]).save(_state())
        self.assertNotIn("numpy_checkpoints", os.listdir(self.model_dir))

    def test_the_record_is_json_with_library_versions(self):
        path = self.manager().save(_state())
        with open(os.path.join(path, "prompt_tuning.json"), encoding="utf-8") as file:
            fields = json.load(file)
        self.assertEqual(fields["base_fingerprint"], "1-abc")
        self.assertEqual(fields["trainable_regexes"], [toy_model.PROMPT_REGEX])
        self.assertEqual(fields["random_seed"], 7)
        self.assertEqual(fields["versions"]["jax"], jax.__version__)

    def test_bfloat16_files(self):
        state = _state()
        self.manager(save_dtype="bfloat16").save(state)
        restored = self.manager().restore_latest(_state(seed=1)).state.params[toy_model.PROMPT]
        self.assertEqual(restored.dtype, jnp.float32)
        expected = state.params[toy_model.PROMPT].astype(jnp.bfloat16).astype(jnp.float32)
        np.testing.assert_array_equal(restored, expected)

    def test_a_saved_step_is_left_alone(self):
        first = _state()
        self.assertIsNotNone(self.manager().save(first))
        self.assertIsNone(self.manager(save_paths=[".*"]).save(_state(seed=5)))
        restored = self.manager().restore_latest(_state(seed=1)).state
        np.testing.assert_array_equal(
            restored.params[toy_model.PROMPT], first.params[toy_model.PROMPT]
        )


class WhenTest(TestCase):
    def test_periods_count_from_the_base_checkpoint(self):
        record = checkpointing.RunRecord(first_step=3)
        manager = self.manager(period=100, checkpoint_steps=[50], record=record)
        due = [step for step in range(3, 304) if manager.due(step)]
        self.assertEqual(due, [3, 50, 103, 203, 303])

    def test_a_resumed_run_keeps_the_rhythm(self):
        self.manager().save(_state(step=1053))
        manager = self.manager(
            period=100, record=checkpointing.RunRecord("1-abc", (), 7, first_step=1053)
        )
        manager.restore_latest(_state())
        self.assertTrue(manager.due(1100))
        self.assertFalse(manager.due(1153))

    def test_no_period(self):
        self.assertFalse(any(self.manager().due(step) for step in range(5000)))

    def test_keep_and_pinned(self):
        manager = self.manager(keep=2)
        for step in range(1, 6):
            manager.save(_state(step))
            if step == 2:
                pin = os.path.join(self.model_dir, "checkpoint_2", "PINNED")
                with open(pin, "w", encoding="utf-8"):
                    pass
        self.assertEqual(self.steps(), [2, 4, 5])

    @parameterized.parameters({"period": 0}, {"keep": 0}, {"keep": -1})
    def test_bad_numbers(self, **kwargs):
        with self.assertRaisesRegex(ValueError, "must be at least 1 or None"):
            self.manager(**kwargs)


class RefusalTest(TestCase):
    def test_another_base_model(self):
        self.manager().save(_state())
        other = self.manager(record=checkpointing.RunRecord("1-def"))
        with self.assertRaisesRegex(ValueError, "1-abc.*1-def.*INITIAL_CHECKPOINT_PATH"):
            other.restore_latest(_state())

    def test_another_prompt_length(self):
        self.manager().save(_state())
        with self.assertRaisesRegex(ValueError, r"\(3, 8\).*needs \(5, 8\).*PROMPT_LENGTH"):
            self.manager().restore_latest(_state(prompt_length=5))

    def test_another_subset(self):
        self.manager().save(_state())
        params = {"encoder/prompt/prompt/other": np.zeros((3, 8), np.float32)}
        state = train_state.TrainState.create(0, params, {})
        with self.assertRaisesRegex(ValueError, "nearest.*encoder/prompt/prompt/prompt"):
            self.manager().restore_latest(state)

    def test_another_optimizer(self):
        self.manager().save(_state())
        state = _state(optimizer=adafactor.Adafactor(beta1=0.9))
        with self.assertRaisesRegex(ValueError, "optimizer slot .*/m"):
            self.manager().restore_latest(state)

    def test_another_seed_is_only_worth_a_warning(self):
        self.manager().save(_state())
        other = self.manager(record=checkpointing.RunRecord("1-abc", (), 8))
        with self.assertLogs(level="WARNING") as logs:
            other.restore_latest(_state())
        self.assertIn("RANDOM_SEED 7", logs.output[0])

    @parameterized.parameters("", "{}", "[1]", '{"format": 99}')
    def test_damaged_record(self, text):
        path = self.manager().save(_state())
        with open(os.path.join(path, "prompt_tuning.json"), "w", encoding="utf-8") as file:
            file.write(text)
        with self.assertRaisesRegex(ValueError, "prompt_tuning.json is not a run record"):
            self.manager().restore_latest(_state())

    def test_without_a_record_as_t5x_writes_it(self):
        path = self.manager().save(_state())
        os.remove(os.path.join(path, "prompt_tuning.json"))
        self.assertIsNone(self.manager().restore_latest(_state()).record)


class CrashTest(TestCase):
    def test_a_failure_while_writing_leaves_the_last_good_checkpoint(self):
        self.manager().save(_state(1))

        def broken(path):
            raise OSError(f"disk full: {path}")

        with self.assertRaises(OSError):
            self.manager().save(_state(2), broken)
        self.assertEqual(self.steps(), [1])
        with mock.patch.object(os, "rename", side_effect=OSError("disk full")):
            with self.assertRaises(OSError):
                self.manager().save(_state(2))
        self.assertEqual(self.steps(), [1])
        self.assertEqual(int(self.manager().restore_latest(_state()).state.step), 1)

    def test_kill_nine_at_any_moment(self):
        program = (
            "import sys, jax\n"
            "from prompt_tuning.training import checkpointing, checkpointing_test\n"
            "manager = checkpointing.CheckpointManager(sys.argv[1], keep=2, save_paths=['.*'],\n"
            "    record=checkpointing_test._RECORD)\n"
            "for step in range(1, 100000):\n"
            "    manager.save(checkpointing_test._state(step, seed=step))\n"
            "    print(step, flush=True)\n"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        for delay in (0.0, 0.013, 0.05):
            child = subprocess.Popen(
                [sys.executable, "-c", program, self.model_dir],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            seen = [int(child.stdout.readline()) for _ in range(3)]
            time.sleep(delay)
            child.send_signal(signal.SIGKILL)
            child.communicate()
            step = self.steps()[-1]
            self.assertGreaterEqual(step, seen[-1])
            restored = self.manager().restore_latest(_state()).state
            self.assertEqual(int(restored.step), step)
            np.testing.assert_array_equal(
                restored.params[toy_model.PROMPT], _state(step, seed=step).params[toy_model.PROMPT]
            )
            self.model_dir = self.create_tempdir().full_path


if __name__ == "__main__":
    absltest.main()
