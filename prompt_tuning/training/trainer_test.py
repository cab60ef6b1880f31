# SPDX-License-Identifier: Apache-2.0
"""Tests of the training step on a toy model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.training import adafactor, optimizers, row_groups, schedules, toy_model
from prompt_tuning.training import trainer as trainer_lib

jax.config.update("jax_numpy_rank_promotion", "raise")


def _trainer(dropout_rate=0.0, regex=toy_model.PROMPT_REGEX, seed=0, **kwargs):
    optimizer = optimizers.MultiOptimizer(
        [
            (
                optimizers.ModelParamTraversal(optimizers.match_any([regex])),
                adafactor.Adafactor(multiply_by_parameter_scale=False, weight_decay_rate=1e-5),
            )
        ]
    )
    return trainer_lib.Trainer(
        toy_model.ToyModel(dropout_rate),
        optimizer,
        schedules.create_learning_rate_scheduler("constant", 0.3),
        rng=jax.random.PRNGKey(seed),
        **kwargs,
    )


def _train(trainer, steps, params=None, first_step=0, batch=None):
    state, frozen = trainer.init_state(params or toy_model.make_params(), first_step)
    metrics = None
    for i in range(steps):
        state, metrics = trainer.train_step(state, frozen, batch or toy_model.make_batch(i))
    return state, frozen, metrics


class TrainStepTest(parameterized.TestCase):
    def test_only_the_subset_changes_bit_for_bit(self):
        before = toy_model.make_params()
        state, frozen, _ = _train(_trainer(), 5)
        self.assertEqual(set(state.params), {toy_model.PROMPT})
        self.assertEqual(set(state.opt_state), {toy_model.PROMPT})
        self.assertFalse(np.array_equal(state.params[toy_model.PROMPT], before[toy_model.PROMPT]))
        self.assertEqual(set(frozen), set(before) - {toy_model.PROMPT})
        for name, value in frozen.items():
            np.testing.assert_array_equal(value, before[name], strict=True)

    def test_everything_is_a_subset_too(self):
        state, frozen, _ = _train(_trainer(regex=".*"), 1)
        self.assertEqual(set(state.params), set(toy_model.make_params()))
        self.assertEmpty(frozen)

    def test_the_step_counts_on_from_the_base_checkpoint(self):
        state, _, _ = _train(_trainer(), 3, first_step=1_100_000)
        self.assertEqual(int(state.step), 1_100_003)

    def test_loss_goes_down(self):
        trainer = _trainer()
        _, _, first = _train(trainer, 1)
        _, _, last = _train(trainer, 60)
        self.assertLess(float(last["loss"]), 0.7 * float(first["loss"]))

    def test_metrics_are_device_scalars_of_the_loss_before_the_update(self):
        trainer = _trainer()
        state, frozen = trainer.init_state(toy_model.make_params())
        batch = toy_model.make_batch()
        expected = float(trainer.eval_step(state.params, frozen, batch)["loss"])
        _, metrics = trainer.train_step(state, frozen, batch)
        np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-6)
        np.testing.assert_allclose(metrics["learning_rate"], 0.3)
        for name, value in metrics.items():
            self.assertEqual((value.shape, value.dtype), ((), jnp.float32), name)

    def test_state_is_donated_and_frozen_is_not(self):
        trainer = _trainer()
        state, frozen = trainer.init_state(toy_model.make_params())
        trainer.train_step(state, frozen, toy_model.make_batch())
        self.assertTrue(state.params[toy_model.PROMPT].is_deleted())
        self.assertFalse(any(value.is_deleted() for value in frozen.values()))

    def test_frozen_lies_where_the_model_wants_it(self):
        class HostModel(toy_model.ToyModel):
            def memory_kind(self, name):
                return "pinned_host"

        trainer = _trainer()
        trainer._model = HostModel()
        _, frozen = trainer.init_state(toy_model.make_params())
        self.assertNotEmpty(frozen)
        self.assertEqual({v.sharding.memory_kind for v in frozen.values()}, {"pinned_host"})

    def test_frozen_is_an_argument_not_a_constant(self):
        trainer = _trainer()
        _, frozen, _ = _train(trainer, 1)
        state, _ = trainer.init_state(toy_model.make_params())
        _, before = trainer.train_step(state, frozen, toy_model.make_batch())
        state, _ = trainer.init_state(toy_model.make_params())
        other = {name: value * 2.0 for name, value in frozen.items()}
        _, after = trainer.train_step(state, other, toy_model.make_batch())
        self.assertNotEqual(float(before["loss"]), float(after["loss"]))
        self.assertEqual(trainer.compilations, 1)

    def test_no_gradient_of_a_frozen_parameter_is_computed(self):
        trainer = _trainer()
        state, frozen = trainer.init_state(toy_model.make_params())
        batch = toy_model.make_batch()
        jaxpr = jax.make_jaxpr(trainer._train_step)(state, frozen, batch, jax.random.PRNGKey(0))
        frozen_shapes = {value.shape for value in frozen.values()}
        self.assertEmpty(frozen_shapes.intersection(out.shape for out in jaxpr.out_avals))
        # The gradient of an embedding table is a scatter-add into [V, H].
        embedding_gradient = r"f32\[16,8\] = scatter-add"
        self.assertNotRegex(str(jaxpr), embedding_gradient)
        everything = _trainer(regex=".*")
        state, frozen = everything.init_state(toy_model.make_params())
        jaxpr = jax.make_jaxpr(everything._train_step)(state, frozen, batch, jax.random.PRNGKey(0))
        self.assertRegex(str(jaxpr), embedding_gradient)

    def test_one_compilation_per_batch_shape(self):
        trainer = _trainer()
        state, frozen = trainer.init_state(toy_model.make_params())
        for rows, inputs in ((4, 5), (4, 5), (4, 8), (4, 5), (2, 8), (4, 8)):
            batch = toy_model.make_batch(rows=rows, inputs=inputs)
            state, _ = trainer.train_step(state, frozen, batch)
        self.assertEqual(trainer.compilations, 3)

    def test_steps_transfer_nothing_but_the_batch(self):
        trainer = _trainer(weight_metrics=True)
        state, frozen = trainer.init_state(toy_model.make_params())
        state, _ = trainer.train_step(state, frozen, toy_model.make_batch())
        # "disallow" lets the explicit device_put of the batch pass and nothing implicit.
        with jax.transfer_guard("disallow"):
            trainer.train_step(state, frozen, toy_model.make_batch(1))


class RandomnessTest(absltest.TestCase):
    def test_dropout_depends_on_the_seed_and_the_global_step_alone(self):
        batch = toy_model.make_batch()
        # The same parameters and batch at steps 0 and 7, and with another seed.
        losses = [
            float(_train(_trainer(0.5, seed=seed), 1, first_step=step, batch=batch)[2]["loss"])
            for seed, step in ((0, 0), (0, 0), (0, 7), (1, 0))
        ]
        self.assertEqual(losses[0], losses[1])
        self.assertLen(set(losses), 3)

    def test_key_is_folded_from_the_step_as_t5x_does(self):
        keys = []

        class Spy(toy_model.ToyModel):
            def loss_fn(self, params, batch, dropout_rng):
                if dropout_rng is not None:
                    jax.debug.callback(lambda key: keys.append(np.asarray(key)), dropout_rng)
                return super().loss_fn(params, batch, dropout_rng)

        trainer = _trainer()
        trainer._model = Spy()
        state, frozen = trainer.init_state(toy_model.make_params(), 41)
        trainer.train_step(state, frozen, toy_model.make_batch())
        jax.effects_barrier()
        np.testing.assert_array_equal(keys[0], jax.random.fold_in(jax.random.PRNGKey(0), 41))

    def test_evaluation_has_no_dropout(self):
        trainer = _trainer(dropout_rate=0.5)
        state, frozen = trainer.init_state(toy_model.make_params())
        plain = _trainer().eval_step(state.params, frozen, toy_model.make_batch())
        dropped = trainer.eval_step(state.params, frozen, toy_model.make_batch())
        self.assertEqual(float(plain["loss"]), float(dropped["loss"]))


class MicrobatchTest(parameterized.TestCase):
    @parameterized.parameters(1, 2, 4)
    def test_equal_the_whole_batch(self, count):
        whole, _, expected = _train(_trainer(), 3)
        parts, _, metrics = _train(_trainer(num_microbatches=count), 3)
        np.testing.assert_allclose(
            parts.params[toy_model.PROMPT], whole.params[toy_model.PROMPT], atol=1e-5
        )
        self.assertEqual(set(metrics), set(expected))
        for name, value in expected.items():
            np.testing.assert_allclose(metrics[name], value, rtol=1e-5, atol=1e-6, err_msg=name)

    def test_each_slice_gets_its_own_dropout(self):
        rows = toy_model.make_batch(rows=1)
        batch = {name: np.concatenate([value] * 2) for name, value in rows.items()}
        trainer = _trainer(dropout_rate=0.5, num_microbatches=2)
        _, _, both = _train(trainer, 1, batch=batch)
        key = jax.random.fold_in(jax.random.PRNGKey(0), 0)
        expected = 0.0
        state, frozen = trainer.init_state(toy_model.make_params())
        for _ in range(2):
            key, dropout_key = jax.random.split(key)
            expected += float(trainer._loss(state.params, frozen, rows, dropout_key)[0])
        np.testing.assert_allclose(both["loss"], expected, rtol=1e-6)

    def test_indivisible_batch(self):
        with self.assertRaisesRegex(ValueError, "batch of 4 examples does not divide into 3"):
            _train(_trainer(num_microbatches=3), 1)

    def test_zero_is_refused(self):
        with self.assertRaisesRegex(ValueError, "num_microbatches is 0"):
            _trainer(num_microbatches=0)


class RowGroupTest(parameterized.TestCase):
    GROUPS = row_groups.RowGroups(2, {"encoder": (5,), "decoder": (2,)}, full_width=0)

    # Pairs of rows, or as many pairs together as have 7 tokens in each row.
    @parameterized.parameters((0, [2, 2, 2, 2]), (10, [2, 2, 2, 2]), (14, [4, 4]), (21, [6, 2]))
    def test_equal_the_whole_batch(self, full_width, expected_rows):
        groups = dataclasses.replace(self.GROUPS, full_width=full_width)
        batch = toy_model.make_batch(rows=8)
        found = [len(group["encoder_input_tokens"]) for group in groups.divide(batch)]
        self.assertEqual(found, expected_rows)
        whole, _, expected = _train(_trainer(weight_metrics=True), 3, batch=batch)
        trainer = _trainer(weight_metrics=True, row_groups=groups)
        parts, _, metrics = _train(trainer, 3, batch=batch)
        # Of a group of each size; the batch as a whole never is.
        self.assertEqual(trainer.compilations, len(set(expected_rows)))
        np.testing.assert_allclose(
            parts.params[toy_model.PROMPT], whole.params[toy_model.PROMPT], atol=1e-5
        )
        self.assertEqual(int(parts.step), 3)
        self.assertEqual(set(metrics), set(expected))
        for name, value in expected.items():
            np.testing.assert_allclose(metrics[name], value, rtol=1e-5, atol=1e-6, err_msg=name)

    def test_which_batches_are_grouped(self):
        trainer = _trainer(row_groups=row_groups.RowGroups(4, {}))
        found = {rows: trainer.groups_rows(rows) for rows in (3, 4, 12, 7)}
        self.assertEqual(found, {3: True, 4: True, 12: True, 7: False})
        self.assertFalse(_trainer().groups_rows(4))

    def test_the_first_group_is_told_of_once_before_the_second(self):
        calls = []
        trainer = _trainer(
            row_groups=self.GROUPS, after_first_group=lambda: calls.append(trainer.compilations)
        )
        group = trainer._jitted_group
        trainer._jitted_group = lambda *arguments: calls.append("group") or group(*arguments)
        _train(trainer, 2)
        self.assertEqual(calls[:3], ["group", 1, "group"])
        self.assertEqual(calls.count(1), 1)

    @parameterized.parameters((3, ["told"]), (4, ["told"]), (7, []))
    def test_a_whole_batch_is_told_of_where_a_group_may_be_as_large(self, rows, expected):
        calls = []
        trainer = _trainer(
            row_groups=row_groups.RowGroups(4, {}), after_first_group=lambda: calls.append("told")
        )
        _train(trainer, 2, batch=toy_model.make_batch(rows=rows))
        self.assertEqual(calls, expected)

    @parameterized.parameters(({"dropout_rate": 0.5},), ({"num_microbatches": 1},))
    def test_not_where_the_rows_belong_together(self, arguments):
        trainer = _trainer(row_groups=self.GROUPS, **arguments)
        grouped, _, _ = _train(trainer, 1)
        whole, _, _ = _train(_trainer(**arguments), 1)
        np.testing.assert_array_equal(
            grouped.params[toy_model.PROMPT], whole.params[toy_model.PROMPT]
        )
        self.assertIsNone(trainer._row_groups)


class WeightMetricsTest(absltest.TestCase):
    def test_only_on_request(self):
        _, _, without = _train(_trainer(), 1)
        self.assertFalse([name for name in without if name.startswith("weight_rms")])
        _, _, metrics = _train(_trainer(weight_metrics=True), 1)
        # At the first step the clipped update has an RMS of the learning rate.
        np.testing.assert_allclose(metrics[f"weight_update_rms/{toy_model.PROMPT}"], 0.3, rtol=1e-3)


if __name__ == "__main__":
    absltest.main()
