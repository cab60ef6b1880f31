# SPDX-License-Identifier: Apache-2.0
"""T5X's encoder-decoder model: a network, its loss, its searches and its scores.

The methods are pure functions of `params` (the nested tree) and a batch; whoever trains decides
which part of `params` to differentiate. Keyword arguments named `extra` travel to
`Encoder.embed`, which is how a prompt given from outside gets in. Optimizer, vocabularies and
feature converter are only kept for those who ask; nothing here uses SeqIO.

Shape letters are those of ARCHITECTURE.md.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from array_ops import argmax
from prompt_tuning.models import decoding, frozen_weights, layer_stack, losses, network

Array = jax.Array
Params = Mapping[str, Any]
Batch = Mapping[str, Array]
Metrics = dict[str, Array]

_PACKED_FEATURES = ("encoder_segment_ids", "decoder_segment_ids")


@dataclasses.dataclass(frozen=True)
class DecoderParams:
    """Defaults of `EncoderDecoderModel.predict_batch_with_aux`.

    Attributes:
        num_decodes: sequences to search for, per example [BEAM_SIZE].
        return_all_decodes: return all of them and not only the best.
    """

    num_decodes: int = 1
    return_all_decodes: bool = False


def shift_right(tokens: Array) -> Array:
    """Targets `[..., L]` to decoder inputs: the start token 0 first, the last token dropped."""
    padding = ((0, 0),) * (tokens.ndim - 1) + ((1, 0),)
    return jnp.pad(tokens[..., :-1], padding)


def token_log_probs(logits: Array, targets: Array) -> Array:
    """Log-probability of each target, float32 `[..., L]`, from logits `[..., L, V]`."""
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def _check_not_packed(batch: Batch) -> None:
    for name in _PACKED_FEATURES:
        if name in batch:
            raise ValueError(
                f"the batch has {name!r}; packed examples are not supported, because a "
                "prompt belongs to one example. Set train/utils.DatasetConfig.pack = False."
            )


class BaseTransformerModel:
    """What every network with targets has: a loss, a search, scores. Subclasses give the logits.

    Attributes:
        module: the network.
        input_vocabulary: of the encoder's tokens; kept for others.
        output_vocabulary: of the decoder's tokens; its `eos_id` ends a search.
        optimizer_def: kept for the trainer.
        feature_converter_cls: kept for the data pipeline; None leaves the choice to it.
    """

    # Features whose tokens are counted in the metric sums.
    counted_features: tuple[str, ...] = ("encoder_input", "decoder_target")

    def __init__(
        self,
        module: nn.Module,
        input_vocabulary: Any,
        output_vocabulary: Any,
        optimizer_def: Any,
        decode_fn: Callable[..., tuple[Array, Array]] = decoding.beam_search,
        feature_converter_cls: type | None = None,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        loss_normalizing_factor: float | str | None = None,
        default_decoder_params: DecoderParams | None = None,
    ):
        """Keeps what it is given; see the class.

        Args:
            module: the network.
            input_vocabulary: of the encoder.
            output_vocabulary: of the decoder; without an `eos_id`, 1 is the end token.
            optimizer_def: any object.
            decode_fn: `decoding.beam_search`, `decoding.temperature_sample` or a like function.
            feature_converter_cls: any class.
            label_smoothing: in `[0, 1)` [LABEL_SMOOTHING].
            z_loss: coefficient, at least 0 [Z_LOSS].
            loss_normalizing_factor: see `losses` [LOSS_NORMALIZING_FACTOR].
            default_decoder_params: default one decode per example.

        Raises:
            ValueError: if a number of the loss is out of its range.
        """
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(
                f"label_smoothing is {label_smoothing!r}; it must be at least 0 and below 1. "
                "Set LABEL_SMOOTHING."
            )
        if z_loss < 0.0:
            raise ValueError(f"z_loss is {z_loss!r}; it must not be negative. Set Z_LOSS.")
        self.module: Any = module  # Flax types what `apply` returns with collections changed, too.
        self.input_vocabulary = input_vocabulary
        self.output_vocabulary = output_vocabulary
        self.optimizer_def = optimizer_def
        self.feature_converter_cls = feature_converter_cls
        self._decode_fn = decode_fn
        self._label_smoothing = float(label_smoothing)
        self._z_loss = float(z_loss)
        self._loss_normalizing_factor = losses.check_loss_normalizing_factor(
            loss_normalizing_factor
        )
        self._default_decoder_params = default_decoder_params or DecoderParams()

    def arrange(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Flat parameters that do not train, as `T5Config` says they are kept and run.

        Args:
            params: flat, NumPy, JAX or shapes, under T5X's names; perhaps not all of them.
        """
        config = self.module.config
        params = frozen_weights.store(params, config.frozen_dtype)
        if not config.scan_layers:
            return params
        counts = {"encoder": config.num_encoder_layers, "decoder": config.num_decoder_layers}
        return layer_stack.stack(params, counts)

    def memory_kind(self, name: str) -> str | None:
        """JAX's name of the memory where a parameter that does not train lies; None: the device's.

        Args:
            name: as `arrange` gives it.
        """
        fetched = self.module.config.fetches_layers and layer_stack.is_of_a_layer(name)
        return "pinned_host" if fetched else None

    @property
    def rows_are_separate(self) -> bool:
        """Whether `loss_fn` and its metrics are sums over rows, whichever rows stand together.

        Not with dropout, whose masks are drawn for a batch, nor with a normalizing factor that is
        counted in it, nor where a `loss_fn` of one's own does not say so (`losses.sums_over_rows`).
        """
        sums = getattr(type(self).loss_fn, "sums_over_rows", False)
        counted = isinstance(self._loss_normalizing_factor, str)
        return sums and not counted and not self.module.config.dropout_rate

    def _dropout(self, rng: Array | None) -> dict[str, Any]:
        """What `module.apply` is told of dropout; a model without it gets no key."""
        if rng is None or not self.module.config.dropout_rate:
            return {"deterministic": True}
        return {"deterministic": False, "rngs": {"dropout": rng}}

    @property
    def eos_id(self) -> int:
        """What ends a search."""
        eos_id = getattr(self.output_vocabulary, "eos_id", None)
        return 1 if eos_id is None else eos_id

    def _compute_logits(
        self, params: Params, batch: Batch, dropout_rng: Array | None, extra: Mapping[str, Any]
    ) -> Array:
        """Teacher-forced logits, float32 `[B, L, V]`, of an unpacked batch."""
        raise NotImplementedError

    def predict_batch_with_aux(
        self, params: Params, batch: Batch, rng: Array | None = None, **arguments: Any
    ) -> tuple[Array, dict[str, Array]]:
        """Tokens `[B, L]` that a search finds, and `{"scores": [B]}`."""
        raise NotImplementedError

    @losses.sums_over_rows
    def loss_fn(
        self, params: Params, batch: Batch, dropout_rng: Array | None = None, **extra: Any
    ) -> tuple[Array, Metrics]:
        """Loss of a batch, and sums from which metrics are made.

        Args:
            params: the parameters, and nothing else, that the loss depends on.
            batch: `encoder_input_tokens` `[B, T]`, `decoder_input_tokens`,
                `decoder_target_tokens`, `decoder_loss_weights` `[B, L]`; without the last, every
                target position counts.
            dropout_rng: key of the dropout masks; None is no dropout.
            **extra: for the encoder.

        Returns:
            The scalar loss and float32 scalars that add up over batches: `loss`, `z_loss`,
            `cross_ent_loss`, `correct` (weighted), `weight_sum`, `num_examples`, and per feature
            the non-padding tokens and all positions, `{encoder_input,decoder_target}_tokens` and
            `..._positions`.
        """
        _check_not_packed(batch)
        logits = self._compute_logits(params, batch, dropout_rng, extra)
        factor, weights = losses.get_loss_normalizing_factor_and_weights(
            self._loss_normalizing_factor, batch
        )
        targets = batch["decoder_target_tokens"]
        loss, z_loss, _ = losses.compute_weighted_cross_entropy(
            logits,
            targets,
            weights=weights,
            label_smoothing=self._label_smoothing,
            z_loss=self._z_loss,
            loss_normalizing_factor=factor,
        )
        return loss, self._metric_sums(logits, batch, loss, z_loss)

    def _metric_sums(self, logits: Array, batch: Batch, loss: Array, z_loss: Array) -> Metrics:
        targets = batch["decoder_target_tokens"]
        weights = batch.get("decoder_loss_weights")
        if weights is None:
            weights = jnp.ones(targets.shape, jnp.float32)
        correct = argmax.argmax(logits) == targets
        sums = {
            "loss": loss,
            "z_loss": z_loss,
            "cross_ent_loss": loss - z_loss,
            "correct": jnp.sum(correct * weights),
            "weight_sum": jnp.sum(weights),
            "num_examples": jnp.float32(targets.shape[0]),
        }
        return {**sums, **self._token_counts(batch)}

    def _token_counts(self, batch: Batch) -> Metrics:
        counts = {}
        for feature in self.counted_features:
            tokens = batch[f"{feature}_tokens"]
            counts[f"{feature}_tokens"] = jnp.sum(tokens > 0).astype(jnp.float32)
            counts[f"{feature}_positions"] = jnp.float32(tokens.size)
        return counts

    def predict_batch(
        self, params: Params, batch: Batch, rng: Array | None = None, **extra: Any
    ) -> Array:
        """The best tokens of every example; see `predict_batch_with_aux`."""
        return self.predict_batch_with_aux(params, batch, rng, **extra)[0]

    def _search(
        self,
        inputs: Array,
        cache: Any,
        tokens_to_logits: decoding.TokensToLogits,
        rng: Array | None,
        decoder_params: Mapping[str, Any] | None,
        return_all_decodes: bool | None,
        num_decodes: int | None,
        **arguments: Any,
    ) -> tuple[Array, dict[str, Array]]:
        """Runs `decode_fn` and picks from it what `predict_batch_with_aux` returns."""
        defaults = self._default_decoder_params
        arguments.update(decoder_params or {})
        if rng is not None:
            if arguments.get("decode_rng") is not None:
                raise ValueError(
                    f"rng is {rng} and decoder_params['decode_rng'] is "
                    f"{arguments['decode_rng']}; accepted is one of them. Drop either."
                )
            arguments["decode_rng"] = rng
        decodes, scores = self._decode_fn(
            inputs=inputs,
            cache=cache,
            tokens_to_logits=tokens_to_logits,
            eos_id=self.eos_id,
            num_decodes=defaults.num_decodes if num_decodes is None else num_decodes,
            **arguments,
        )
        if return_all_decodes is None:
            return_all_decodes = defaults.return_all_decodes
        if return_all_decodes:
            return decodes, {"scores": scores}
        return decodes[:, -1], {"scores": scores[:, -1]}

    def score_batch(
        self, params: Params, batch: Batch, return_intermediates: bool = False, **extra: Any
    ) -> Array | tuple[Array, dict[str, Any]]:
        """Log-likelihood of the targets, without smoothing and z-loss.

        Args:
            params: the parameters.
            batch: as for `loss_fn`.
            return_intermediates: also return, under `"decoder"`, the tuples of one array
                `target_tokens`, `loss_weights` and `token_scores`, each `[B, L]`.
            **extra: for the encoder.

        Returns:
            float32 `[B]`, or that and the intermediates.
        """
        _check_not_packed(batch)
        logits = self._compute_logits(params, batch, None, extra)
        targets = batch["decoder_target_tokens"]
        weights = batch.get("decoder_loss_weights")
        if weights is None:
            weights = jnp.ones(targets.shape, jnp.float32)
        token_scores = token_log_probs(logits, targets) * weights
        scores = jnp.sum(token_scores, axis=-1)
        if not return_intermediates:
            return scores
        intermediates = {
            "target_tokens": (targets,),
            "loss_weights": (weights,),
            "token_scores": (token_scores,),
        }
        return scores, {"decoder": intermediates}


class EncoderDecoderModel(BaseTransformerModel):
    """An encoder-decoder network, usually `network.Transformer`, and what is done with it."""

    def get_initial_variables(
        self,
        rng: Array,
        input_shapes: Mapping[str, tuple[int, ...]],
        input_types: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Fresh parameters, `{"params": tree}`; the same key gives T5X's initial prompt.

        Args:
            rng: a JAX key.
            input_shapes: of `encoder_input_tokens` and `decoder_input_tokens`.
            input_types: dtypes of the same; int32 where not given.
        """
        types = input_types or {}
        encoder_tokens, decoder_tokens = (
            jnp.ones(input_shapes[name], types.get(name, jnp.int32))
            for name in ("encoder_input_tokens", "decoder_input_tokens")
        )
        # Under jit the forward pass that finds the shapes is traced, never computed.
        return jax.jit(self.module.init)(rng, encoder_tokens, decoder_tokens, decoder_tokens)

    def _compute_logits(
        self, params: Params, batch: Batch, dropout_rng: Array | None, extra: Mapping[str, Any]
    ) -> Array:
        return self.module.apply(
            {"params": params},
            batch["encoder_input_tokens"],
            batch["decoder_input_tokens"],
            batch["decoder_target_tokens"],
            **self._dropout(dropout_rng),
            **extra,
        )

    def predict_batch_with_aux(
        self,
        params: Params,
        batch: Batch,
        rng: Array | None = None,
        decoder_params: Mapping[str, Any] | None = None,
        return_all_decodes: bool | None = None,
        num_decodes: int | None = None,
        prompt_with_targets: bool = False,
        **extra: Any,
    ) -> tuple[Array, dict[str, Array]]:
        """Searches for targets. The input is encoded once, whatever the number of decodes.

        Args:
            params: the parameters.
            batch: `encoder_input_tokens` `[B, T]`; `decoder_input_tokens` `[B, L]` gives the
                length, and the first tokens if `prompt_with_targets`.
            rng: key of the samples; or give `decode_rng` in `decoder_params`.
            decoder_params: more arguments of `decode_fn`.
            return_all_decodes: default from `default_decoder_params`.
            num_decodes: default from `default_decoder_params`.
            prompt_with_targets: force the decoder inputs that are neither 0 nor an end token.
            **extra: for the encoder.

        Returns:
            Tokens `[B, L]` with `{"scores": [B]}`; with `return_all_decodes`, tokens
            `[B, num_decodes, L]` with `{"scores": [B, num_decodes]}`, best last.

        Raises:
            ValueError: if both `rng` and `decoder_params["decode_rng"]` are given.
        """
        given = batch["decoder_input_tokens"]
        forced = jnp.zeros_like(given)
        if prompt_with_targets:
            # An end token would be forced too, and nothing could follow it.
            forced = jnp.where(given == self.eos_id, 0, given)
        if num_decodes is None:
            num_decodes = self._default_decoder_params.num_decodes
        cache, tokens_to_logits = self._start_decoding(params, batch, num_decodes, extra)
        return self._search(
            forced,
            cache,
            tokens_to_logits,
            rng,
            decoder_params,
            return_all_decodes,
            num_decodes,
        )

    def _start_decoding(
        self, params: Params, batch: Batch, num_decodes: int, extra: Mapping[str, Any]
    ):
        """An empty cache of B rows, and the function that decodes one token with it."""
        variables = {"params": params}
        encoded, live = self.module.apply(
            variables, batch["encoder_input_tokens"], method="encode", **extra
        )
        rows, length = batch["decoder_input_tokens"].shape
        reads = num_decodes * length
        cross = self.module.apply(variables, encoded, reads, method="cross_memory")

        def tokens_to_logits(state: decoding.DecodingState) -> tuple[Array, network.Cache]:
            return self.module.apply(
                variables, state.cur_token, state.cache, cross, live, method="decode_step"
            )

        return network.init_cache(self.module.config, rows, length), tokens_to_logits

    def label_scores(
        self, params: Params, encoder_input_tokens: Array, labels: Array, **extra: Any
    ) -> Array:
        """Log-likelihood of every candidate label for every input.

        Each input is encoded once, and all labels read it.

        Args:
            params: the parameters.
            encoder_input_tokens: int32 `[B, T]`.
            labels: int32 `[C, L]`, padded with 0, with the end token where it should count.
            **extra: for the encoder.

        Returns:
            float32 `[B, C]`: sums over the label's tokens of their log-probability.
        """
        encoded, live = self.module.apply(
            {"params": params}, encoder_input_tokens, method="encode", **extra
        )
        targets = jnp.tile(jnp.asarray(labels, jnp.int32), (encoded.shape[0], 1))
        logits = self.module.apply(
            {"params": params}, encoded, live, shift_right(targets), targets, method="decode"
        )
        scores = jnp.sum(token_log_probs(logits, targets) * (targets > 0), axis=-1)
        return scores.reshape(encoded.shape[0], -1)
