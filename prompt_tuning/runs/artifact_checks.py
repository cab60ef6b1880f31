# SPDX-License-Identifier: Apache-2.0
"""Whether a prompt artifact fits what a run is given or has loaded. Needs no JAX.

Joins `checkpoints.prompt_artifact` (the file) with what a run knows: its model, its vocabulary, its
checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from prompt_tuning.checkpoints import base_checkpoint, fingerprint, prompt_artifact
from prompt_tuning.runs import restore_paths

_PLACEMENTS = {
    "prefix_prompt": "prefix",
    "prefix_prompt_after_bos": "prefix_after_bos",
    "suffix_prompt": "suffix",
}


def placement(model: Any) -> str | None:
    """Where the model puts its prompt; None where its prompt is of another kind."""
    factory = getattr(model.module, "prompt_factory", None)
    combine = getattr(factory(), "combine", None) if factory else None
    return _PLACEMENTS.get(getattr(combine, "__name__", ""))


def check_file(
    path: str | None,
    restore: Any,
    *,
    vocabulary: Any | None = None,
    length: int | None = None,
    width: int | None = None,
) -> None:
    """Refuses an artifact that cannot fit, before anything is loaded; needs no JAX.

    The base model's fingerprint, which costs reading, is taken only where something else tells that
    the prompt is not for it; `check_prompt_file` compares the rest when the model is there.

    Args:
      path: of the prompt; None, and what is no artifact, passes.
      restore: `config.checkpoint_config.RestoreCheckpointConfig` of the frozen model, or None.
      vocabulary: has `fingerprint`; None is not known yet.
      length: P that the model asks for; None takes any.
      width: H of the model; None is not known yet.

    Raises:
      ValueError: names what differs, and both fingerprints.
    """
    if not path or not prompt_artifact.is_artifact(path):
        return
    metadata = prompt_artifact.read(path).metadata
    words = vocabulary.fingerprint if vocabulary else metadata.vocabulary_fingerprint
    fits = words == metadata.vocabulary_fingerprint
    fits = fits and length in (None, metadata.length) and width in (None, metadata.width)
    prompt_artifact.check(
        metadata,
        path,
        base_fingerprint=metadata.base_fingerprint if fits else _fingerprint(restore),
        vocabulary_fingerprint=words,
        length=length,
    )


def prompt_length(model: Any) -> int | None:
    """P that the model asks for; None where its prompt is of another kind."""
    factory = getattr(model.module, "prompt_factory", None)
    return getattr(getattr(factory(), "prompt", None), "length", None) if factory else None


def _fingerprint(restore: Any) -> str:
    if restore is None:
        return "no base model"
    target = base_checkpoint.open_base(restore_paths.restore_paths(restore)[0]).target()
    return fingerprint.fingerprint({k: v for k, v in target.items() if "prompt" not in k})


def check_prompt_file(
    path: str | None, model: Any, base_fingerprint: str, params: Mapping[str, Any]
) -> None:
    """Refuses an artifact that was trained for another model, vocabulary or length.

    Args:
      path: of the prompt; None, and what is no artifact, says nothing of itself and passes.
      model: has `input_vocabulary` and `module`.
      base_fingerprint: of the frozen model that was loaded; "" where there was none.
      params: the run's parameters, of which the prompt is one.

    Raises:
      ValueError: names both values.
    """
    if not path or not prompt_artifact.is_artifact(path):
        return
    prompts = [value for name, value in params.items() if name.endswith("/prompt/prompt")]
    prompt_artifact.check(
        prompt_artifact.read(path).metadata,
        path,
        base_fingerprint=base_fingerprint or "no base model",
        vocabulary_fingerprint=model.input_vocabulary.fingerprint,
        length=len(prompts[0]) if len(prompts) == 1 else None,
        placement=placement(model),
    )
