# SPDX-License-Identifier: Apache-2.0
"""A predictor from files, for people who have a model and prompts and no gin:

from prompt_tuning.inference import opening, requests

predictor = opening.open_predictor("flan-t5-base", prompts={"sst2": "sst2.npy"})
for answer in predictor.predict([requests.Request("a fine film .", prompt="sst2")]):
    print(answer.text)
"""

import functools
import os
from collections.abc import Mapping
from typing import Any

from data_ops import vocabulary as vocabularies
from prompt_tuning.checkpoints import (
    base_checkpoint,
    fingerprint,
    prompt_artifact,
    prompt_files,
    t5x_format,
)
from prompt_tuning.inference import predictor, prompt_bank
from prompt_tuning.models import models, network
from prompt_tuning.prompts import combine, prompt, prompted_network

_T5X_SENTINELS = 100
Path = str | os.PathLike[str]


def open_predictor(
    base_model: Path,
    vocabulary: Path | None = None,
    prompts: Mapping[str, Path] | None = None,
    *,
    extra_ids: int | None = None,
    activation_dtype: str = "float32",
    max_prompt_length: int = 100,
    **options: Any,
) -> predictor.Predictor:
    """Reads a frozen T5 and makes a predictor whose rows name their prompts.

    Args:
      base_model: a HuggingFace folder, the name of a model on the hub, or a T5X checkpoint.
      vocabulary: the SentencePiece model; a HuggingFace folder has its own.
      prompts: name to file, of any kind that `prompt_files.read_prompt` reads; an artifact must be
        of this model and vocabulary. `predictor.prompts.load` takes more at any time, and checks
        them in the same way.
      extra_ids: sentinels behind the pieces of `vocabulary`; None is what a HuggingFace folder
        says, and T5's 100 otherwise.
      activation_dtype: "float32" or "bfloat16".
      max_prompt_length: longest prompt that can be added later.
      **options: of `predictor.Predictor`. Bad rows are reported unless `report_bad_rows` is False,
        and with one prompt alone it is that of rows that name none.

    Raises:
      FileNotFoundError, ValueError: the model, the vocabulary or a prompt cannot be used.
    """
    described = base_checkpoint.describe(base_model)
    file = vocabulary or described.vocabulary_file
    if file is None:
        raise ValueError(
            f"{os.fspath(base_model)} comes without a vocabulary; give the SentencePiece model that "
            "it was trained with as `vocabulary`."
        )
    if extra_ids is None:
        extra_ids = described.extra_ids if described.vocabulary_file else _T5X_SENTINELS
    words = vocabularies.SentencePieceVocabulary(os.fspath(file), extra_ids)
    config = network.T5Config(**described.t5_config_fields, dtype=activation_dtype)
    read = {name: prompt_files.read_prompt(path) for name, path in (prompts or {}).items()}
    module = prompted_network.PromptedTransformer(config, prompt_factory=_no_prompt)
    leaves = base_checkpoint.open_base(base_model).target()
    params = t5x_format.read_arrays(
        {name: leaf for name, leaf in leaves.items() if "/prompt/" not in name}, "float32"
    )
    check = functools.partial(_check_artifact, fingerprint.fingerprint(params), words)
    for path in (prompts or {}).values():
        check(os.fspath(path))
    longest = max([max_prompt_length, *map(len, read.values())])
    bank = prompt_bank.PromptBank(config.emb_dim, longest, max(16, len(read)), check)
    for name, value in read.items():
        bank.add(name, value)
    options = {"prompt": next(iter(read)) if len(read) == 1 else None, **options}
    return predictor.Predictor(
        models.EncoderDecoderModel(module, words, words, None),
        params,
        words,
        prompts=bank,
        **{"report_bad_rows": True, **options},
    )


def _check_artifact(base: str, words: vocabularies.SentencePieceVocabulary, path: str) -> None:
    """Refuses an artifact that belongs elsewhere; other files say nothing of themselves."""
    if prompt_artifact.is_artifact(path):
        prompt_artifact.check(
            prompt_artifact.read(path).metadata,
            path,
            base_fingerprint=base,
            vocabulary_fingerprint=words.fingerprint,
            placement="prefix",  # Of `_no_prompt`.
        )


def _no_prompt() -> combine.Prompt:
    """The model's own prompt; every row has one from the bank instead."""
    return combine.Prompt(prompt.Prompt(0))
