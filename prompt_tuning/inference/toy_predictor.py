# SPDX-License-Identifier: Apache-2.0
"""For tests: a vocabulary of letters, and a prompted model so small that it compiles at once."""

import collections
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from prompt_tuning.inference import predictor
from prompt_tuning.models import models, network
from prompt_tuning.prompts import combine, prompt, prompted_network

P, H, EOS = 3, 8, 1
CONFIG = network.T5Config(
    vocab_size=32,
    emb_dim=H,
    num_heads=2,
    head_dim=4,
    mlp_dim=16,
    num_encoder_layers=1,
    num_decoder_layers=1,
    dtype="float32",
)


class Letters:
    """One token for each letter from a to z; both the vocabulary and its tokenizer."""

    eos_id = EOS

    @property
    def tokenizer(self):
        return self

    def encode(self, s):
        return [ord(letter) - ord("a") + 3 if letter.isalpha() else 2 for letter in s]

    def decode(self, ids):
        letters = itertools.takewhile(lambda i: i != EOS, np.asarray(ids).tolist())
        return "".join(chr(i + ord("a") - 3) if i > 2 else "?" for i in letters)

    def encode_padded(self, texts, max_len, pad=0, eos=1):
        ids = np.full((len(texts), max_len), pad, np.int32)
        for row, text in zip(ids, texts, strict=True):
            tokens = self.encode(text)[: max_len - (eos is not None)]
            tokens += [] if eos is None else [eos]
            row[: len(tokens)] = tokens
        return ids


def _make_prompt() -> combine.Prompt:
    return combine.Prompt(prompt.Prompt(P, jax.nn.initializers.normal(1.0)))


class TracedModel(models.EncoderDecoderModel):
    """Counts how often each method is traced, by the width of its inputs."""

    def __init__(self, **options: Any):
        module = prompted_network.PromptedTransformer(CONFIG, prompt_factory=_make_prompt)
        super().__init__(module, Letters(), Letters(), None, **options)
        self.traces: collections.Counter = collections.Counter()

    def predict_batch_with_aux(self, params, batch, *args, **kwargs):
        self.traces["predict", batch["encoder_input_tokens"].shape[1]] += 1
        return super().predict_batch_with_aux(params, batch, *args, **kwargs)

    def label_scores(self, params, encoder_input_tokens, labels, **extra):
        self.traces["score", encoder_input_tokens.shape[1]] += 1
        return super().label_scores(params, encoder_input_tokens, labels, **extra)


@functools.cache
def parameters() -> Any:
    """Random ones, nested."""
    shapes = {"encoder_input_tokens": (1, 2), "decoder_input_tokens": (1, 2)}
    return TracedModel().get_initial_variables(jax.random.key(0), shapes)["params"]


def make_predictor(model: TracedModel | None = None, **options: Any) -> predictor.Predictor:
    """A predictor with few short widths; any argument may be given anew."""
    options = {
        "inputs_length": 32,
        "targets_length": 6,
        "batch_size": 4,
        "length_buckets": (8, 16),
        "params": parameters(),
        **options,
    }
    return predictor.Predictor(model or TracedModel(), vocabulary=Letters(), **options)


def make_texts(lengths: Sequence[int], seed: int = 0) -> list[str]:
    """Random words of these lengths."""
    random = np.random.RandomState(seed)
    return ["".join(chr(97 + i) for i in random.randint(26, size=n)) for n in lengths]


def make_prompts(lengths: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    """Random prompts `[length, H]`."""
    random = np.random.RandomState(seed)
    return [random.normal(size=(n, H)).astype(np.float32) for n in lengths]
