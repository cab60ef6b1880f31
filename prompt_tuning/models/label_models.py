# SPDX-License-Identifier: Apache-2.0
"""Encoder-decoders that are trained to rank a closed set of labels, not to generate.

Every example comes with all of its candidate labels as targets; the score of a label is the
log-likelihood of its tokens. Upstream's `extended.perceptron`. (`EncoderDecoderModel.label_scores`
ranks labels with any model; these classes are for training on the ranking.)

Shapes: `B` batch, `C` labels of each example, `T` input tokens, `L` target tokens.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from prompt_tuning.models import losses, models

Array = jax.Array
Batch = models.Batch
Params = models.Params

_FOLDED_FEATURES = (
    "encoder_input_tokens",
    "decoder_input_tokens",
    "decoder_target_tokens",
    "decoder_loss_weights",
)


def fold(batch: Batch) -> dict[str, Array]:
    """Makes each pair of example and label a row: `[B, C, ...] -> [B*C, ...]`, every feature."""
    return {name: x.reshape(-1, *x.shape[2:]) for name, x in batch.items()}


def unfold(x: Array, batch_size: int) -> Array:
    """The inverse of `fold` for one array: `[B*C, ...] -> [B, C, ...]`."""
    return x.reshape(batch_size, -1, *x.shape[1:])


class ValidLabelsOnlyEncoderDecoderModel(models.EncoderDecoderModel):
    """Scores each example's labels; base of the models that train on these scores.

    A batch has `encoder_input_tokens` `[B, C, T]` (the input once for each label),
    `decoder_input_tokens`, `decoder_target_tokens`, `decoder_loss_weights` `[B, C, L]` and
    `is_correct` `[B, C]`, which marks one label of each example.
    """

    def __init__(self, length_normalize: bool, *args: Any, **kwargs: Any):
        """Keeps what it is given.

        Args:
            length_normalize: divide a label's score by its number of tokens.
            *args: of `EncoderDecoderModel`.
            **kwargs: of `EncoderDecoderModel`.
        """
        super().__init__(*args, **kwargs)
        self.length_normalize = length_normalize

    def get_initial_variables(
        self,
        rng: Array,
        input_shapes: Mapping[str, tuple[int, ...]],
        input_types: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """As `EncoderDecoderModel`, from shapes with the axis of the labels."""
        folded = {
            name: (shape[0] * shape[1], *shape[2:])
            for name, shape in input_shapes.items()
            if name in _FOLDED_FEATURES
        }
        return super().get_initial_variables(rng, folded, input_types)

    def label_logits(
        self, params: Params, batch: Batch, dropout_rng: Array | None = None, **extra: Any
    ) -> Array:
        """The scores of the labels, float32 `[B, C]`; arguments as for `loss_fn`."""
        folded = fold({name: batch[name] for name in _FOLDED_FEATURES})
        logits = self._compute_logits(params, folded, dropout_rng, extra)
        log_probs = models.token_log_probs(logits, folded["decoder_target_tokens"])
        weights = folded["decoder_loss_weights"]
        scores = jnp.sum(log_probs * weights, axis=-1)
        if self.length_normalize:
            # A label without tokens fills up a batch; it must not become NaN.
            scores = scores / jnp.maximum(jnp.sum(weights, axis=-1), 1.0)
        return unfold(scores, batch["encoder_input_tokens"].shape[0])

    @losses.sums_over_rows
    def loss_fn(
        self, params: Params, batch: Batch, dropout_rng: Array | None = None, **extra: Any
    ) -> tuple[Array, models.Metrics]:
        """Loss of a batch, and sums from which metrics are made.

        Returns:
            The scalar loss, and float32 scalars named as `EncoderDecoderModel.loss_fn` names
            them, where `correct` and `weight_sum` count examples.
        """
        logits = self.label_logits(params, batch, dropout_rng, **extra)
        gold = jnp.argmax(batch["is_correct"], axis=-1)
        loss, z_loss = self._label_loss(logits, gold)
        examples = jnp.float32(gold.shape[0])
        sums = {
            "loss": loss,
            "z_loss": z_loss,
            "cross_ent_loss": loss - z_loss,
            "correct": jnp.sum(jnp.argmax(logits, axis=-1) == gold).astype(jnp.float32),
            "weight_sum": examples,
            "num_examples": examples,
        }
        return loss, {**sums, **self._token_counts(batch)}

    def _label_loss(self, logits: Array, gold: Array) -> tuple[Array, Array]:
        """Loss and the z-loss in it, scalars, of scores `[B, C]` and indices `[B]`."""
        raise NotImplementedError(f"{type(self).__name__} scores labels and has no loss")

    def predict_batch_with_aux(
        self, params: Params, batch: Batch, rng: Array | None = None, *search: Any, **arguments: Any
    ) -> tuple[Array, dict[str, Array]]:
        """The tokens of each example's best label, `[B, L]`, and nothing beside them.

        Args:
            params: the parameters.
            batch: as for `loss_fn`, without `is_correct`.
            rng: unused, like the other arguments of a search: nothing is searched for.
            *search: unused.
            **arguments: unused.
        """
        del rng, search, arguments
        best = jnp.argmax(self.label_logits(params, batch), axis=-1)
        targets = batch["decoder_target_tokens"]
        return jnp.take_along_axis(targets, best[:, None, None], axis=1)[:, 0], {}


class CrossEntropyEncoderDecoderModel(ValidLabelsOnlyEncoderDecoderModel):
    """Cross entropy over the labels' scores, summed over examples; z-loss and smoothing apply."""

    def _label_loss(self, logits: Array, gold: Array) -> tuple[Array, Array]:
        loss, z_loss, _ = losses.compute_weighted_cross_entropy(
            logits, gold, label_smoothing=self._label_smoothing, z_loss=self._z_loss
        )
        return loss, z_loss


class PerceptronLossEncoderDecoderModel(ValidLabelsOnlyEncoderDecoderModel):
    """Ranking loss `max(0, hinge + best score - right score)`, summed over examples.

    The best score is taken over all labels, the right one included, as upstream does. So an
    example that is ranked right costs `hinge` and pulls on nothing: there is no margin.
    """

    def __init__(self, hinge: float, *args: Any, **kwargs: Any):
        """Keeps what it is given.

        Args:
            hinge: see the class.
            *args: `length_normalize` and those of `EncoderDecoderModel`.
            **kwargs: the same.
        """
        super().__init__(*args, **kwargs)
        self.hinge = hinge

    def _label_loss(self, logits: Array, gold: Array) -> tuple[Array, Array]:
        right = jnp.take_along_axis(logits, gold[:, None], axis=-1)[:, 0]
        margin = self.hinge + jnp.max(logits, axis=-1) - right
        return jnp.sum(jnp.maximum(margin, 0.0)), jnp.zeros((), jnp.float32)
