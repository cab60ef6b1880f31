# SPDX-License-Identifier: Apache-2.0
"""Numbers and choices that the model's and the trainer's own code would refuse, after seconds.

The classes of settings in `config` check themselves (`early_settings` makes them). What JAX's side
checks is not loaded yet, so the few values that people set by hand are looked at here too.
"""

import re
from collections.abc import Callable
from typing import Any

from prompt_tuning.config import early_settings, spelling

_DTYPES = ("bfloat16", "float32", "float64")
_FACTORS = (
    "constant",
    "linear_warmup",
    "linear_decay",
    "rsqrt_decay",
    "rsqrt_normalized_decay",
    "decay_every",
    "cosine_decay",
)
INPUT_FORMATS = ("lines", "tsv", "csv", "jsonl")
# Called with a value; returns what is accepted instead, or None where the value is all right.
_Check = Callable[[Any], str | None]


def is_number(value: Any, least: float, below: float = float("inf")) -> bool:
    """Whether `value` is a number in [least, below)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < below


def is_integer(value: Any, least: int) -> bool:
    """Whether `value` is an integer of at least `least`."""
    return isinstance(value, int) and is_number(value, least)


def _positive(value: Any) -> str | None:
    return None if is_integer(value, 1) else "an integer above 0"


def _not_negative(value: Any) -> str | None:
    return None if is_number(value, 0) else "at least 0"


def _share(value: Any) -> str | None:
    return None if is_number(value, 0, 1) else "at least 0 and below 1"


def _dtype(value: Any) -> str | None:
    if value in _DTYPES:
        return None
    return f"one of {', '.join(_DTYPES)}{spelling.nearest(str(value), _DTYPES, many=1)}"


def _factors(value: Any) -> str | None:
    names = [name.strip() for name in value.split("*")] if isinstance(value, str) else [""]
    wrong = [name for name in names if name not in _FACTORS]
    if not wrong:
        return None
    return f"made of {', '.join(_FACTORS)}, joined with '*'{spelling.nearest(wrong[0], _FACTORS)}"


def _regexes(value: Any) -> str | None:
    try:
        if not isinstance(value, str):
            for regex in value:
                re.compile(regex)
            return None
    except (re.error, TypeError):
        pass
    return "a list of regular expressions"


def _texts(value: Any) -> str | None:
    # A single text would be taken for a list of its letters.
    if isinstance(value, list | tuple) and value and all(isinstance(text, str) for text in value):
        return None
    return "a list of texts, such as ['negative', 'positive']"


def _input_format(value: Any) -> str | None:
    if value is None or value in INPUT_FORMATS:
        return None
    return f"one of {', '.join(INPUT_FORMATS)}{spelling.nearest(str(value), INPUT_FORMATS)}"


_CONFIG = "prompt_tuning.models.network:T5Config"
_SCHEDULE = "prompt_tuning.training.schedules:create_learning_rate_scheduler"
_MODEL = "prompt_tuning.models.models:EncoderDecoderModel"
# (target, argument, check, what users set)
_TABLE: tuple[tuple[str, str, _Check, str], ...] = (
    ("prompt_tuning.prompts.prompt:Prompt", "length", _positive, "--prompt_length (PROMPT_LENGTH)"),
    (_CONFIG, "vocab_size", _positive, "NUM_EMBEDDINGS"),
    (_CONFIG, "emb_dim", _positive, "EMBED_DIM"),
    (_CONFIG, "num_heads", _positive, "NUM_HEADS"),
    (_CONFIG, "head_dim", _positive, "HEAD_DIM"),
    (_CONFIG, "mlp_dim", _positive, "MLP_DIM"),
    (_CONFIG, "num_encoder_layers", _positive, "NUM_ENCODER_LAYERS"),
    (_CONFIG, "num_decoder_layers", _positive, "NUM_DECODER_LAYERS"),
    (_CONFIG, "dropout_rate", _share, "--dropout_rate (DROPOUT_RATE)"),
    (_CONFIG, "dtype", _dtype, "--activation_dtype (ACTIVATION_DTYPE)"),
    (
        _SCHEDULE,
        "base_learning_rate",
        _not_negative,
        "--learning_rate (utils.create_learning_rate_scheduler.base_learning_rate)",
    ),
    (_SCHEDULE, "factors", _factors, "utils.create_learning_rate_scheduler.factors"),
    (_MODEL, "label_smoothing", _share, "LABEL_SMOOTHING"),
    (_MODEL, "z_loss", _not_negative, "Z_LOSS"),
    (
        "prompt_tuning.runs.answer_settings:AnswerSettings",
        "input_format",
        _input_format,
        "--input_format (INPUT_FORMAT)",
    ),
    ("prompt_tuning.prompts.initializers:from_embedded_list", "texts", _texts, "CLASS_LABELS"),
    ("prompt_tuning.training.optimizers:match_any", "regexes", _regexes, "PROMPT_REGEX"),
)


def check(settings: early_settings.EarlySettings) -> None:
    """Raises ValueError for the first value that is not accepted: what it is, and what to set."""
    for target, argument, accepted, flag in _TABLE:
        for scope in settings.scopes(target):
            arguments = settings.arguments(target, scope)
            wanted = accepted(arguments[argument]) if argument in arguments else None
            if wanted:
                end = "" if wanted.endswith("?") else "."
                raise ValueError(
                    f"{flag} is {arguments[argument]!r}; it must be {wanted}{end} In gin "
                    f"it is {target.partition(':')[2]}.{argument}."
                )
