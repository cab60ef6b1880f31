# SPDX-License-Identifier: Apache-2.0
"""Texts in, answers out: one frozen model, one prompt or many, no task and no TensorFlow.

    bank = prompt_bank.PromptBank(width=512)
    bank.load("sst2", "/prompts/sst2.npy")
    predictor = Predictor(model, params, vocabulary, prompts=bank)
    predictor.predict([Request("a fine film .", prompt="sst2")])

Rows are tokenised in windows, each window is sorted into batches of few widths
(`length_batches`), and the results are given in the order of the rows. The compiled programs take
parameters and prompts as arguments, so there is one for each width and kind of answer. Threads may
share a predictor.

Shapes: `n` rows, `B` batch, `T` input tokens, `L` target tokens, `P` prompt positions, `H` embed,
`C` candidate labels, `K` decodes.
"""

import copy
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from prompt_tuning.inference import length_batches, prompt_bank, requests, row_encoder
from prompt_tuning.models import decoding_state, label_search, models, request_sampling
from prompt_tuning.partitioning import partitioner

LENGTH_BUCKETS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
TARGET_BUCKETS = (4, 16, 64, 256)
# Slots that a beam search could not fill score -1e7, or that divided by a brevity penalty.
_NO_ANSWER = decoding_state.NEG_INF / 100

Vocabulary = row_encoder.Vocabulary
Request = requests.Request
Prediction = requests.Prediction
RowError = requests.RowError
Sampling = request_sampling.Sampling
Row = str | requests.Request | requests.RowError


@dataclasses.dataclass(frozen=True)
class _Batch:
    """What a compiled program gets besides parameters.

    `[B, T]`, `[B, 2]`, what the encoder gets, and `[B, L]` where targets are scored.
    """

    inputs: jax.Array
    seeds: jax.Array
    extra: Mapping[str, jax.Array]
    targets: jax.Array | None = None


class Predictor:
    """Decodes, and ranks or chooses labels, with one set of parameters."""

    def __init__(
        self,
        model: models.EncoderDecoderModel,
        params: Mapping[str, Any],
        vocabulary: Vocabulary,
        prompt: np.ndarray | jax.Array | str | None = None,
        inputs_length: int = 512,
        targets_length: int = 64,
        batch_size: int = 32,
        length_buckets: Sequence[int] = LENGTH_BUCKETS,
        add_inputs_eos: bool = True,
        window: int = 1024,
        *,
        prompts: prompt_bank.PromptBank | None = None,
        sampling: Sampling | None = None,
        seed: int = 0,
        num_decodes: int | None = None,
        return_all_decodes: bool = False,
        report_bad_rows: bool = False,
        part: partitioner.Partitioner | None = None,
    ):
        """Moves the parameters to the device; nothing is compiled yet.

        Args:
          model: Its `decode_fn` and defaults decide how `predict` decodes.
          params: Flat names or a nested tree.
          vocabulary: Of inputs and targets.
          prompt: `[P, H]`, instead of the one in `params`; `[0, H]` is no prompt. None uses what
            the model has. With `prompts`, the name of the prompt for rows that name none. Needs a
            model with a `PromptedEncoder`.
          inputs_length: The most input tokens, EOS included; what is longer is cut.
          targets_length: The most tokens that `predict` decodes and that a label may have.
          batch_size: `B`.
          length_buckets: Widths that batches may have; `inputs_length` is always one.
          add_inputs_eos: Whether inputs end with EOS; as the task was trained.
          window: This many texts are sorted by length together. Smaller windows answer sooner,
            larger ones pad less.
          prompts: Where rows find the prompts that they name. It may change at any time: a window
            of rows sees it as it is when the window begins.
          sampling: `predict` samples like this, each row with random numbers of its own, whatever
            the model's `decode_fn` is.
          seed: Of all random numbers.
          num_decodes: `K` of `predict`; None is the model's default.
          return_all_decodes: Predictions hold all `K` answers, or as many as the search found; else
            the best one.
          report_bad_rows: A row without text, with more tokens than `inputs_length`, with ids that
            the model does not know, with half a surrogate pair or with a prompt that is not there
            gets a `RowError` for its answer. Else the first is answered like any other, the second
            is cut, ids are not looked at and the others end everything with a ValueError.
          part: Where parameters and batches lie; None is one device. Of several processes, all must
            be asked the same, and all get all answers.

        Raises:
          ValueError: The model is of another kind, a number is not positive, or the prompt's shape or
            name does not fit.
        """
        if not isinstance(model, models.EncoderDecoderModel):
            raise ValueError(
                f"a Predictor answers with an encoder-decoder model, and this is a "
                f"{type(model).__name__}; call its predict_batch"
            )
        for name, value in (
            ("batch_size", batch_size),
            ("targets_length", targets_length),
            ("window", window),
            ("num_decodes", 1 if num_decodes is None else num_decodes),
        ):
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        self._model, self._vocabulary, self._prompts = model, vocabulary, prompts
        self._part = part = part or partitioner.Partitioner()
        # Nested or flat, they are flat after this.
        nested = traverse_util.unflatten_dict(dict(params), sep="/")
        flat = model.arrange(traverse_util.flatten_dict(nested, sep="/"))
        placed = {n: part.place(n, value, model.memory_kind(n)) for n, value in flat.items()}
        self._params = traverse_util.unflatten_dict(placed, sep="/")
        self._default_prompt, self._extra = self._check_prompt(prompt)
        self._targets_length = targets_length
        self._batch_size, self._window = batch_size, window
        self._buckets = length_batches.usable_buckets(length_buckets, inputs_length)
        config = model.module.config
        self._encoder = row_encoder.RowEncoder(
            vocabulary, inputs_length, add_inputs_eos, report_bad_rows, config.vocab_size
        )
        self._decode = part.jit_to_host(
            functools.partial(
                _decode, model, targets_length, sampling, seed, num_decodes, return_all_decodes
            )
        )
        self._label_scores = part.jit_to_host(model.label_scores)
        self._target_scores = part.jit_to_host(functools.partial(_score_targets, model))
        self._target_widths = length_batches.usable_buckets(TARGET_BUCKETS, targets_length)
        self._best_labels = part.jit_to_host(functools.partial(label_search.best_labels, model))

    @property
    def prompts(self) -> prompt_bank.PromptBank | None:
        """Where rows find their prompts; change it at any time."""
        return self._prompts

    def with_prompt(self, prompt: np.ndarray | jax.Array | str | None) -> "Predictor":
        """The same with another prompt, see `prompt` above; parameters and programs are shared.

        A prompt of a length that was used before costs no compilation.
        """
        other = copy.copy(self)
        other._default_prompt, other._extra = self._check_prompt(prompt)
        return other

    def predict(self, rows: Iterable[Row]) -> list[Prediction | RowError]:
        """Decodes an answer for each row, a text or a `Request`."""
        return list(self.predict_stream(rows))

    def predict_stream(
        self, rows: Iterable[Row], first: int = 0
    ) -> Iterator[Prediction | RowError]:
        """As `predict`, one window of rows at a time: `rows` may be endless.

        A row that arrives as a `RowError` is its own answer.

        Args:
          rows: Texts or requests.
          first: Place of the first row in a longer stream, of which random numbers depend.
        """

        def decode(batch: _Batch) -> tuple[jax.Array, ...]:
            return self._decode(self._params, batch.inputs, batch.seeds, **batch.extra)

        def read(tokens: np.ndarray, scores: np.ndarray) -> Prediction:
            answers = [
                Prediction(self._vocabulary.decode(ids), float(score))
                for ids, score in zip(tokens, scores, strict=True)
            ]
            others = (answer for answer in answers[-2::-1] if answer.score > _NO_ANSWER)
            return dataclasses.replace(answers[-1], others=tuple(others))

        return self._map(rows, decode, read, first)

    def score_labels(
        self, rows: Iterable[Row], labels: Sequence[str], per_token: bool = False
    ) -> np.ndarray:
        """Log-probability of each label as the answer to each row.

        Args:
          rows: `n` of them.
          labels: `C` candidates.
          per_token: Divide by the label's number of tokens with EOS, so that long labels are not at
            a disadvantage.

        Returns:
          float32 `[n, C]`: natural logarithms, summed over the tokens of `label_tokens`. NaN for
          rows with an error; `score_labels_stream` tells which.

        Raises:
          ValueError: There are no labels, two have the same tokens, or one is too long.
        """
        scores = [
            np.full(len(labels), np.nan, np.float32) if isinstance(row, RowError) else row
            for row in self.score_labels_stream(rows, labels, per_token)
        ]
        return np.stack(scores) if scores else np.zeros((0, len(labels)), np.float32)

    def score_labels_stream(
        self, rows: Iterable[Row], labels: Sequence[str], per_token: bool = False
    ) -> Iterator[np.ndarray | RowError]:
        """As `score_labels`, a float32 `[C]` for each row, one window of rows at a time."""
        # Not a generator itself: labels are checked at the call, not at the first result.
        candidates = jnp.asarray(label_tokens(self._vocabulary, labels, self._targets_length))
        counts = [len(self._vocabulary.encode(label)) + 1 for label in labels]
        divisor = np.array(counts if per_token else 1, np.float32)

        def score(batch: _Batch) -> tuple[jax.Array, ...]:
            return (self._label_scores(self._params, batch.inputs, candidates, **batch.extra),)

        return self._map(rows, score, lambda scores: scores / divisor)

    def choose_label(
        self, rows: Iterable[Row], labels: Sequence[str]
    ) -> list[Prediction | RowError]:
        """The likeliest label of each row: the first of `score_labels`, cheaper for many labels.

        Raises:
          ValueError: As for `score_labels`.
        """
        return list(self.choose_label_stream(rows, labels))

    def choose_label_stream(
        self, rows: Iterable[Row], labels: Sequence[str]
    ) -> Iterator[Prediction | RowError]:
        """As `choose_label`, one window of rows at a time."""
        tree = label_search.label_tree(label_tokens(self._vocabulary, labels, self._targets_length))

        def choose(batch: _Batch) -> tuple[jax.Array, ...]:
            return self._best_labels(self._params, batch.inputs, tree, **batch.extra)

        return self._map(
            rows, choose, lambda label, score: Prediction(labels[int(label)], float(score))
        )

    def score_targets_stream(
        self, rows: Iterable[Request | RowError]
    ) -> Iterator[float | RowError]:
        """Log-likelihood of each request's own target with EOS, as T5X's `infer` scores.

        Targets longer than `targets_length` are cut.

        Raises:
          ValueError: From the iterator: a request has no target.
        """

        def score(batch: _Batch) -> tuple[jax.Array, ...]:
            scores = self._target_scores(self._params, batch.inputs, batch.targets, **batch.extra)
            return (scores,)

        return self._map(rows, score, float, with_targets=True)

    def _map(
        self,
        rows: Iterable[Row],
        function: Callable[[_Batch], tuple[jax.Array, ...]],
        read: Callable[..., Any],
        first: int = 0,
        with_targets: bool = False,
    ) -> Iterator[Any]:
        """`read` of what `function` says of each row, or the row's error; in order."""
        stream = map(requests.as_request, rows)
        while window := list(itertools.islice(stream, self._window)):
            yield from self._answer(window, first, function, read, with_targets)
            first += len(window)

    def _answer(
        self,
        window: Sequence[Request | RowError],
        first: int,
        function: Callable[[_Batch], tuple[jax.Array, ...]],
        read: Callable[..., Any],
        with_targets: bool,
    ) -> list[Any]:
        table = None if self._prompts is None else self._prompts.snapshot()
        encoded = self._encoder.encode(window, table, self._default_prompt, first)
        batches = length_batches.plan(encoded.lengths, self._batch_size, self._buckets)
        targets = None
        if with_targets and batches:
            targets = self._encoder.targets(encoded.asked, self._target_widths)
        # All batches are queued before the first is fetched: the device never waits.
        results = [
            function(
                _Batch(
                    **self._part.put_batch(
                        {
                            "inputs": encoded.tokens[batch.rows, : batch.width],
                            "seeds": encoded.seeds[batch.rows],
                            **({} if targets is None else {"targets": targets[batch.rows]}),
                        }
                    ),
                    extra=self._extra if table is None else table.pick(encoded.slots[batch.rows]),
                )
            )
            for batch in batches
        ]
        answers: list[Any] = [encoded.errors.get(row) for row in range(len(window))]
        for batch, arrays in zip(batches, jax.device_get(results), strict=True):
            values = zip(*(array[: batch.size] for array in arrays), strict=True)
            for row, value in zip(encoded.rows[batch.rows[: batch.size]], values, strict=True):
                answers[row] = read(*value)
        return answers

    def _check_prompt(
        self, prompt: np.ndarray | jax.Array | str | None
    ) -> tuple[str | None, dict[str, jax.Array]]:
        """The name of the default prompt, and what the encoder gets if there is no bank."""
        width = self._model.module.config.emb_dim
        if self._prompts is not None and self._prompts.width != width:
            raise ValueError(
                f"the bank takes prompts of width {self._prompts.width}, and the model's width is "
                f"{width}; make it with PromptBank(width={width})"
            )
        if prompt is None:
            return None, {}
        if isinstance(prompt, str):
            table = None if self._prompts is None else self._prompts.snapshot().slots
            if table is None or prompt not in table:
                raise ValueError(prompt_bank.unknown_prompt(prompt, table or {}))
            return prompt, {}
        if self._prompts is not None:
            raise ValueError(
                "prompt is an array, but there is a bank of prompts too; add it to the bank and "
                "give its name"
            )
        if prompt.ndim != 2 or prompt.shape[1] != width:
            raise ValueError(
                f"the prompt has shape {tuple(prompt.shape)}, the model needs (P, {width}); "
                "choose a PROMPT_FILE that was trained for this model"
            )
        return None, {"prompt": jax.device_put(np.asarray(prompt, np.float32))}


def label_tokens(
    vocabulary: Vocabulary, labels: Sequence[str], targets_length: int = 64
) -> np.ndarray:
    """Tokens of candidate labels, int32 `[C, L]`, padded with 0.

    They end with EOS only if one of them begins another: else EOS says nothing about which label it
    is, and how likely a model finds it after a bare label word is noise in a ranking.

    Raises:
      ValueError: There are no labels, two have the same tokens, or one is too long.
    """
    if not labels:
        raise ValueError("there are no labels to score; give at least one")
    ids = [tuple(vocabulary.encode(label)) for label in labels]
    first_with: dict[tuple[int, ...], str] = {}
    for label, tokens in zip(labels, ids, strict=True):
        if len(tokens) >= targets_length:
            raise ValueError(
                f"label {label!r} has {len(tokens) + 1} tokens with EOS, the limit is "
                f"{targets_length}; shorten it or raise `targets_length` (--targets_length)"
            )
        if tokens in first_with:
            raise ValueError(
                f"labels {first_with[tokens]!r} and {label!r} have the same tokens; "
                "give labels that the vocabulary can tell apart"
            )
        first_with[tokens] = label
    beginnings = {tokens[:length] for tokens in ids for length in range(len(tokens))}
    if any(tokens in beginnings for tokens in ids):
        ids = [(*tokens, vocabulary.eos_id) for tokens in ids]
    width = max(len(tokens) for tokens in ids)
    return np.array([tokens + (0,) * (width - len(tokens)) for tokens in ids], np.int32)


def _score_targets(
    model: models.EncoderDecoderModel,
    params: Any,
    inputs: jax.Array,
    targets: jax.Array,
    **extra: Any,
) -> jax.Array:
    """float32 `[B]` for targets `[B, L]`, padded with 0."""
    batch = {
        "encoder_input_tokens": inputs,
        "decoder_input_tokens": models.shift_right(targets),
        "decoder_target_tokens": targets,
        "decoder_loss_weights": (targets > 0).astype(jnp.float32),
    }
    # A pair comes only where intermediates are asked for.
    return cast(jax.Array, model.score_batch(params, batch, **extra))


def _decode(
    model: models.EncoderDecoderModel,
    length: int,
    sampling: Sampling | None,
    seed: int,
    num_decodes: int | None,
    return_all: bool,
    params: Any,
    inputs: jax.Array,
    seeds: jax.Array,
    **extra: Any,
) -> tuple[jax.Array, jax.Array]:
    """Tokens `[B, K, L]` and scores `[B, K]`, best last; `K` is 1 without `return_all`."""
    key = jax.random.key(seed)
    keys = jax.vmap(lambda s: jax.random.fold_in(jax.random.fold_in(key, s[0]), s[1]))(seeds)
    if sampling is not None:
        tokens, scores = request_sampling.sample(
            model, params, inputs, keys, length, sampling, num_decodes or 1, **extra
        )
    else:
        batch = {
            "encoder_input_tokens": inputs,
            "decoder_input_tokens": jnp.zeros((inputs.shape[0], length), jnp.int32),
        }
        # What is not asked for is the method's own, to which gin may bind. Where the model samples,
        # T5X's random numbers are those of a batch; here each has others.
        asked: dict[str, Any] = {} if num_decodes is None else {"num_decodes": num_decodes}
        tokens, aux = model.predict_batch_with_aux(
            params, batch, keys[0], return_all_decodes=True, **asked, **extra
        )
        scores = aux["scores"]
    return (tokens, scores) if return_all else (tokens[:, -1:], scores[:, -1:])
