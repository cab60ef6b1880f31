# SPDX-License-Identifier: Apache-2.0
"""One training step: the gradient of the trainable subset, and the optimizer's update of it.

Knows "parameters that the optimizer trains", not prompts, and neither data sets nor files. The
frozen parameters are an argument of the compiled step: nothing is differentiated with respect to
them, nothing is baked into the program as a constant.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import traverse_util

from prompt_tuning.partitioning import partitioner as partitioner_lib
from prompt_tuning.training import optimizers, schedules, subset, train_metrics
from prompt_tuning.training import row_groups as row_groups_lib
from prompt_tuning.training.train_state import TrainState

Batch = Mapping[str, Any]
FlatParams = Mapping[str, jax.Array]
Metrics = train_metrics.Metrics


class Model(Protocol):
    """What the trainer needs of a model; `models.EncoderDecoderModel` is one."""

    def loss_fn(
        self, params: Any, batch: Batch, dropout_rng: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        """Returns (scalar loss, metric sums) for the nested tree of all parameters."""

    def arrange(self, params: FlatParams) -> FlatParams:
        """Returns flat parameters in the form that `loss_fn` reads without copying."""

    def memory_kind(self, name: str) -> str | None:
        """Returns JAX's name of the memory for a parameter of `arrange`; None: the device's."""

    @property
    def rows_are_separate(self) -> bool:
        """Whether `loss_fn` and its metrics are sums over rows, whichever rows stand together."""


class Trainer:
    """Compiles and runs training steps; one compilation per batch shape.

    The compiled step donates its state: keep the state that a call returns, never the one given.
    """

    def __init__(
        self,
        model: Model,
        optimizer: optimizers.OptimizerDef,
        learning_rate_fn: schedules.LearningRateFn,
        num_microbatches: int | None = None,
        *,
        rng: jax.Array,
        weight_metrics: bool = False,
        partitioner: partitioner_lib.Partitioner | None = None,
        row_groups: row_groups_lib.RowGroups | None = None,
        after_first_group: Callable[[], object] | None = None,
    ):
        """Initializes the trainer.

        Args:
          model: has `loss_fn(params, batch, dropout_rng) -> (loss, metric sums)`.
          optimizer: decides what trains and how.
          learning_rate_fn: global step -> float32 scalar.
          num_microbatches: split each batch into this many slices and add up their gradients;
            None or 1 for the batch as a whole.
          rng: the key from which the dropout key of each step is folded.
          weight_metrics: also report RMS figures of every trainable parameter.
          partitioner: where parameters and batches lie; None is one device.
          row_groups: compute a batch group by group, where `num_microbatches` leaves it whole and
            the model's rows are separate: the same sums in another order.
          after_first_group: called once, when the program of a first group of limited size has
            been made, before other groups run.

        Raises:
          ValueError: when `num_microbatches` is below 1.
        """
        if num_microbatches is not None and num_microbatches < 1:
            raise ValueError(
                f"num_microbatches is {num_microbatches}; it must be at least 1 or None. Change "
                "trainer.Trainer.num_microbatches."
            )
        self.learning_rate_fn = learning_rate_fn
        self._model = model
        self._optimizer = optimizer
        self._num_microbatches = num_microbatches or 1
        self._rng = rng
        self._weight_metrics = weight_metrics
        self._compilations = 0
        self.partitioner = partitioner or partitioner_lib.Partitioner()
        whole = num_microbatches is None and model.rows_are_separate
        self._row_groups = row_groups if whole else None
        self._after_first_group = after_first_group
        self._jitted_train_step = self.partitioner.jit(self._train_step, donate_argnums=(0,))
        self._jitted_group = self.partitioner.jit(self._group)
        self._jitted_add = self.partitioner.jit(_add, donate_argnums=(0,))
        self._jitted_update = self.partitioner.jit(self._update, donate_argnums=(0,))
        self._jitted_eval_step = self.partitioner.jit_to_host(self._loss)

    @property
    def compilations(self) -> int:
        """How often the training step was traced: once per distinct batch shape."""
        return self._compilations

    def groups_rows(self, rows: int) -> bool:
        """Whether a batch of so many rows is computed in groups of a limited size."""
        groups = self._row_groups
        return groups is not None and groups.group_rows(rows) <= groups.most_rows

    def init_state(self, params: Mapping[str, Any], step: int = 0) -> tuple[TrainState, FlatParams]:
        """Splits all parameters into a fresh training state and the frozen rest, on the mesh.

        The state aliases nothing that the caller holds: a training step donates it.

        What trains keeps its names; the frozen rest is arranged as the model wants it.

        Args:
          params: every parameter of the model, flat, numpy or JAX.
          step: the global step to start from: the base checkpoint's.

        Raises:
          ValueError: when the optimizer's traversals select nothing or overlap.
        """
        trainable, frozen = subset.split_by_name(params, self._optimizer.trainable(params))
        place, kind = self.partitioner.place, self._model.memory_kind
        trainable = {name: place(name, value) for name, value in trainable.items()}
        arranged = self._model.arrange(frozen)
        frozen = {name: place(name, value, kind(name)) for name, value in arranged.items()}
        return self.partitioner.jit(self._fresh_state)(trainable, jnp.int32(step)), frozen

    def train_step(
        self, state: TrainState, frozen: FlatParams, batch: Batch
    ) -> tuple[TrainState, Metrics]:
        """Runs one step without waiting for it.

        Args:
          state: donated; its arrays are gone after the call.
          frozen: the parameters that do not train, flat, on the mesh.
          batch: `{encoder_input_tokens [B,T], decoder_input_tokens [B,L], ...}`, numpy; of several
            processes each gives the rows of its `partitioner.batch_shard`.

        Returns:
          The new state, and on the device the model's metric sums from *before* the update plus
          `learning_rate`: float32 scalars.

        Raises:
          ValueError: when the batch does not divide into `num_microbatches`.
        """
        groups = self._row_groups.divide(batch) if self._row_groups else [batch]
        if len(groups) == 1:
            stepped = self._jitted_train_step(state, frozen, self._put(groups[0]), self._rng)
            self._tell_of_group(batch)
            return stepped
        sums, turn = self._jitted_group(state.params, frozen, self._put(groups[0]), state.step)
        self._tell_of_group(batch)
        for group in groups[1:]:
            found, turn = self._jitted_group(state.params, frozen, self._put(group), turn)
            sums = self._jitted_add(sums, found)
        return self._jitted_update(state, *sums)

    def _tell_of_group(self, batch: Batch) -> None:
        """Calls `after_first_group` the first time that a batch is computed in groups."""
        if self._after_first_group and self.groups_rows(len(next(iter(batch.values())))):
            self._after_first_group()
            self._after_first_group = None

    def lower_train_step(self, state: TrainState, frozen: Any, batch: Any) -> jax.stages.Lowered:
        """The step for arrays that need not exist: `jax.ShapeDtypeStruct`s with shardings."""
        return self._jitted_train_step.lower(state, frozen, batch, self._rng)

    def eval_step(self, params: FlatParams, frozen: FlatParams, batch: Batch) -> Metrics:
        """Returns the model's metric sums of a batch, without dropout; nothing is donated."""
        _, metrics = self._jitted_eval_step(params, frozen, self._put(batch), None)
        return metrics

    def _put(self, batch: Batch) -> dict[str, jax.Array]:
        return self.partitioner.put_batch(batch, self.partitioner.batch_shard)

    def _fresh_state(self, trainable: FlatParams, step: jax.Array) -> TrainState:
        state = TrainState.create(step, trainable, {})
        return self._in_place(state.replace(opt_state=self._optimizer.init(state.params)))

    def abstract_state(self, shapes: Mapping[str, Any]) -> tuple[TrainState, FlatParams]:
        """What `init_state` gives of `jax.ShapeDtypeStruct`s, each with its place."""
        trainable, rest = subset.split_by_name(shapes, self._optimizer.trainable(shapes))
        step = jax.ShapeDtypeStruct((), jnp.int32)
        state = jax.eval_shape(self._fresh_state, trainable, step)
        frozen = self._model.arrange(rest)
        place = self.partitioner.parameter_sharding
        places = {
            name: jax.tree.map(
                lambda leaf, name=name: place(name, leaf.shape, self._model.memory_kind(name)),
                value,
            )
            for name, value in frozen.items()
        }
        return jax.tree.map(_placed_shape, (state, frozen), (self._places(state), places))

    def _in_place(self, state: TrainState) -> TrainState:
        """The state of a traced step, each array where it lies between the steps."""
        return jax.tree.map(self.partitioner.constrain, state, self._places(state))

    def _places(self, state: TrainState) -> TrainState:
        part, shapes = self.partitioner, {name: v.shape for name, v in state.params.items()}
        return state.replace(
            step=part.whole,
            params={name: part.parameter_sharding(name, s) for name, s in shapes.items()},
            opt_state={
                name: {
                    slot: part.slot_sharding(name, shapes[name], value.shape)
                    for slot, value in slots.items()
                }
                for name, slots in state.opt_state.items()
            },
        )

    def _loss(self, params, frozen, batch, dropout_rng):
        nested = traverse_util.unflatten_dict(subset.merge(params, frozen), sep="/")
        return self._model.loss_fn(nested, batch, dropout_rng)

    def _train_step(self, state, frozen, batch, rng):
        self._compilations += 1  # Python runs this once per trace, i.e. once per batch shape.
        # As T5X: the key depends on the global step alone, so a resumed run continues the sequence.
        dropout_rng = jax.random.fold_in(rng, state.step)
        gradient = jax.grad(self._loss, has_aux=True)
        if self._num_microbatches == 1:
            grads, metrics = gradient(state.params, frozen, batch, dropout_rng)
        else:
            grads, metrics = self._accumulate(gradient, state.params, frozen, batch, dropout_rng)
        return self._update(state, grads, metrics)

    def _group(self, params, frozen, batch, turn):
        """Gradients and metrics of some rows of a batch, and `turn`, a scalar that they wait for.

        Without it the groups would run side by side, and need the memory of all.
        """
        self._compilations += 1
        batch, turn = jax.lax.optimization_barrier((batch, turn))
        return jax.grad(self._loss, has_aux=True)(params, frozen, batch, None), turn

    def _update(self, state, grads, metrics):
        learning_rate = self.learning_rate_fn(state.step)
        params, opt_state = self._optimizer.update(
            grads, state.opt_state, state.params, state.step, learning_rate
        )
        metrics = {**metrics, "learning_rate": learning_rate}
        if self._weight_metrics:
            metrics.update(train_metrics.weight_metrics(state.params, params, grads))
        metrics = jax.tree.map(
            lambda value: self.partitioner.constrain(value, self.partitioner.whole), metrics
        )
        state = TrainState(step=state.step + 1, params=params, opt_state=opt_state)
        return self._in_place(state), metrics

    def _accumulate(self, gradient: Callable, params, frozen, batch, rng):
        """Adds up gradients and metrics over contiguous slices of the batch, as T5X does."""
        slices = jax.tree.map(self._slice, batch)

        def body(carry, piece):
            rng, grads = carry
            rng, dropout_rng = jax.random.split(rng)
            piece_grads, metrics = gradient(params, frozen, piece, dropout_rng)
            return (rng, jax.tree.map(jnp.add, grads, piece_grads)), metrics

        zeros = jax.tree.map(jnp.zeros_like, params)
        (_, grads), metrics = jax.lax.scan(body, (rng, zeros), slices)
        return grads, jax.tree.map(lambda values: jnp.sum(values, axis=0), metrics)

    def _slice(self, feature: jax.Array) -> jax.Array:
        count, rows = self._num_microbatches, feature.shape[0]
        if rows % count:
            raise ValueError(
                f"a batch of {rows} examples does not divide into {count} microbatches; change "
                "BATCH_SIZE or trainer.Trainer.num_microbatches."
            )
        sliced = feature.reshape(count, rows // count, *feature.shape[1:])
        axes = (None, "batch", *(None,) * (feature.ndim - 1))
        return self.partitioner.constrain(sliced, self.partitioner.sharding(axes, sliced.shape))


def _add(sums, more):
    return jax.tree.map(jnp.add, sums, more)


def _placed_shape(leaf: Any, place: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
