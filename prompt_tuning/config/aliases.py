# SPDX-License-Identifier: Apache-2.0
"""The names of T5X, SeqIO and upstream prompt-tuning that gin files may use, and what they mean.

A gin file that says `from t5x import utils` gets a module whose attributes are the ones of TABLE;
each is imported when gin first asks for it. There is no `t5x` package: only gin's own import
statements see the table (gin calls `__import__` by that name, so a global of that name in its
module answers them and nobody else), and only while `installed` is open. A Python module that a
gin file imports still gets the real SeqIO.

Knows names alone. What is not in the table is not promised; Flaxformer's classes are not, because
the architecture files bind `network.T5Config`.
"""

import builtins
import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin.config

from prompt_tuning.config import replacements, spelling

_CONFIG = "prompt_tuning.config"
_RUNS = "prompt_tuning.runs"
_TRAINING = "prompt_tuning.training"


def _same_names(module: str, names: str) -> dict[str, str]:
    return {name: f"{module}:{name}" for name in names.split()}


_ADAFACTOR = _same_names(
    f"{_TRAINING}.adafactor", "Adafactor FactorDim HParamMap standard_logical_factor_rules"
)
_OPTIMIZERS = _same_names(f"{_TRAINING}.optimizers", "MultiOptimizer ModelParamTraversal match_any")

# {module as gin files import it: {name: "module that has it:name there"}}
TABLE: dict[str, dict[str, str]] = {
    "t5x.utils": {
        **_same_names(f"{_CONFIG}.dataset_config", "DatasetConfig"),
        **_same_names(
            f"{_CONFIG}.checkpoint_config",
            "CheckpointConfig RestoreCheckpointConfig SaveCheckpointConfig",
        ),
        **_same_names(f"{_TRAINING}.schedules", "create_learning_rate_scheduler"),
    },
    "t5x.models": {
        **_same_names("prompt_tuning.models.decoder_only_model", "DecoderOnlyModel"),
        **_same_names("prompt_tuning.models.models", "EncoderDecoderModel"),
    },
    "t5x.decoding": _same_names("prompt_tuning.models.decoding", "beam_search temperature_sample"),
    "t5x.partitioning": _same_names(
        f"{_CONFIG}.partitioning", "PjitPartitioner standard_logical_axis_rules"
    ),
    "t5x.adafactor": _ADAFACTOR,
    "t5x.optimizers": _OPTIMIZERS,
    "t5x.trainer": {
        **_same_names(f"{_TRAINING}.actions", "EarlyStoppingAction TerminateOnNanAction"),
        **_same_names(f"{_TRAINING}.trainer", "Trainer"),
    },
    "t5x.checkpoints": _same_names(f"{_CONFIG}.checkpoint_config", "Checkpointer"),
    "t5x.gin_utils": _same_names(
        f"{_CONFIG}.gin_functions", "bool_fn string_split_fn sum_fn summarize_gin_config"
    ),
    "t5x.train": {"train": f"{_RUNS}.train_run:train"},
    "t5x.eval": {"evaluate": f"{_RUNS}.eval_run:evaluate"},
    "t5x.infer": {"infer": f"{_RUNS}.infer_run:infer"},
    "prompt_tuning.prompts": {
        **_same_names("prompt_tuning.prompts.prompt", "InferenceOnlyPrompt Prompt expand_to_batch"),
        **_same_names(
            "prompt_tuning.prompts.initializers",
            "from_array from_embedded_list from_embedded_string from_sample_of_embeddings "
            "np_load t5x_load",
        ),
    },
    "prompt_tuning.masks": _same_names(
        "prompt_tuning.prompts.masks",
        "add_fake_prompt create_prompt_decoder_only_mask create_prompt_encoder_mask",
    ),
    "prompt_tuning.train.prompts": _same_names(
        "prompt_tuning.prompts.combine",
        "Prompt prefix_prompt prefix_prompt_after_bos suffix_prompt",
    ),
    "prompt_tuning.train.utils": {
        **_same_names(f"{_TRAINING}.optimizers", "MultiOptimizer match_any"),
        "Checkpointer": f"{_CONFIG}.checkpoint_config:NumpyPromptCheckpointer",
    },
    "prompt_tuning.train.optim": {
        **_same_names(f"{_TRAINING}.adafactor", "standard_logical_factor_rules"),
        **_same_names(f"{_TRAINING}.optimizers", "MultiOptimizer"),
    },
    "prompt_tuning.train.layers": {
        **_same_names("prompt_tuning.prompts.decoder_only", "PromptDecoder PromptDecoderOnly"),
        "PromptEncoder": "prompt_tuning.prompts.prompted_network:PromptedEncoder",
        "PromptEncoderDecoder": "prompt_tuning.prompts.prompted_network:PromptedTransformer",
    },
    "prompt_tuning.train.models": {
        **_same_names("prompt_tuning.models.models", "EncoderDecoderModel"),
        **_same_names("prompt_tuning.prompts.decoder_only", "PromptDecoderOnlyModel"),
    },
    "prompt_tuning.train.partitioning": {
        "standard_logical_axis_rules": f"{_CONFIG}.partitioning:prompt_logical_axis_rules"
    },
    "prompt_tuning.extended.masks": _same_names(
        "prompt_tuning.prompts.extended_masks",
        "prompt_decoder_attention_mask prompt_encoder_attention_mask summarize_attention",
    ),
    "prompt_tuning.extended.multitask_prompts": _same_names(
        "prompt_tuning.prompts.multitask_prompt",
        "AddMultiTaskPrompt ConcatFeaturesMultiTaskPrompt ConcatMultiTaskPrompt MultiTaskPrompt "
        "ProjectMultiTaskPrompt identity sentinel_to_task",
    ),
    "prompt_tuning.extended.train.multitask_prompts": _same_names(
        "prompt_tuning.prompts.multitask_network", "MultiTaskPrompt"
    ),
    "prompt_tuning.extended.train.multitask_partitioning": {
        "standard_logical_axis_rules": f"{_CONFIG}.partitioning:prompt_logical_axis_rules"
    },
    "prompt_tuning.extended.train.per_layer": _same_names(
        "prompt_tuning.prompts.per_layer", "PromptEncoderLayer add_prompt replace_prompt"
    ),
    "prompt_tuning.extended.train.ia3": _same_names(
        "prompt_tuning.prompts.ia3", "IA3 IA3Attention"
    ),
    "prompt_tuning.extended.train.wayward": _same_names(
        "prompt_tuning.prompts.wayward",
        "WaywardPromptEncoderDecoderModel encode_string execute_initializer interpolate length "
        "squared_l2 squared_l2_distance",
    ),
    "prompt_tuning.extended.perceptron.train.models": _same_names(
        "prompt_tuning.models.label_models",
        "CrossEntropyEncoderDecoderModel PerceptronLossEncoderDecoderModel "
        "ValidLabelsOnlyEncoderDecoderModel",
    ),
    "flax.traverse_util": _same_names(f"{_TRAINING}.optimizers", "ModelParamTraversal"),
    "seqio": {
        "SentencePieceVocabulary": "data_ops.vocabulary:SentencePieceVocabulary",
        **_same_names(
            f"{_CONFIG}.seqio_names",
            "Evaluator JSONLogger PassThroughVocabulary PyLoggingLogger TensorBoardLogger",
        ),
    },
}

# What `import __main__ as train_script` offers beside the program's own names, so that the same
# run files serve `train.py`, the tests, and whatever else parses them.
ENTRY_POINTS = {
    "train": f"{_RUNS}.train_run:train",
    "evaluate": f"{_RUNS}.eval_run:evaluate",
    "infer": f"{_RUNS}.infer_run:infer",
}


def load(target: str) -> Any:
    """Imports `module:name`.

    Raises:
        ImportError: the module or the name is not there, or the module's own code fails. gin takes
            an AttributeError for "no such name", so one inside the module must not reach it.
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"cannot load {target}: {error}") from error


def unknown_module(name: str) -> str:
    """The sentence for an import that leads nowhere."""
    if name.split(".")[0] == "flaxformer":
        return (
            f"gin imports {name!r}, and Flaxformer's classes are not part of this project; include "
            "prompt_tuning/configs/architectures/prompt_encoder_t5_1_1_flaxformer.gin, which "
            "sets the same macros"
        )
    return f"gin imports {name!r}, and there is no such module{spelling.nearest(name, list(TABLE))}"


def unknown_name(module: str, name: str, known: Sequence[str]) -> str:
    """The sentence for an attribute that a module of the table does not have."""
    instead = replacements.replacement(module, name)
    if instead:
        return f"{module} has no {name!r} here: {instead}"
    names = ", ".join(sorted(known))
    return f"{module} has no {name!r} here{spelling.nearest(name, known)} (it has {names})"


class UnknownModuleError(ModuleNotFoundError):
    """A gin file imports a module that does not exist."""


class _Names(types.ModuleType):
    """A module whose attributes are imported from elsewhere when they are first asked for."""

    def __init__(self, name: str, targets: Mapping[str, str]):
        super().__init__(name, f"What gin files call {name}.")
        self._targets = dict(targets)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._targets:
            raise AttributeError(unknown_name(self.__name__, name, list(self._targets)))
        value = load(self._targets[name])
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._targets})


class _MainNames(_Names):
    """`__main__` as gin sees it: the running program's own names first, then the entry points."""

    def __getattr__(self, name: str) -> Any:
        own = getattr(sys.modules.get("__main__"), name, None)
        return own if own is not None else super().__getattr__(name)


_MODULES: dict[str, types.ModuleType] = {name: _Names(name, names) for name, names in TABLE.items()}
_MODULES["__main__"] = _MainNames("__main__", ENTRY_POINTS)


def module(name: str) -> types.ModuleType:
    """What stands for a module of TABLE; AttributeError where it is not in there."""
    if name not in TABLE:
        raise AttributeError(unknown_module(name))
    return _MODULES[name]


def _root_with(name: str) -> types.ModuleType:
    """The `a` of a plain `import a.b.c`, from which gin walks down to the module itself."""
    root, *inner = name.split(".")
    module = top = types.ModuleType(root)
    for part in inner[:-1]:
        child = types.ModuleType(f"{module.__name__}.{part}")
        setattr(module, part, child)
        module = child
    setattr(module, inner[-1], _MODULES[name])
    return top


def _gin_import(
    name: str,
    globals: Any = None,
    locals: Any = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> types.ModuleType:
    """What gin's import statements call. `fromlist` is empty only for a plain `import a.b`."""
    if name in _MODULES:
        return _MODULES[name] if fromlist or "." not in name else _root_with(name)
    try:
        return builtins.__import__(name, globals, locals, fromlist or (), level)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise  # The module is there; something that it imports is not.
        raise UnknownModuleError(unknown_module(name), name=name) from None


def may_exist(name: str) -> bool:
    """Whether an import can succeed, as far as can be told without importing anything."""
    if name in _MODULES:
        return True
    root, *inner = name.split(".")
    try:
        if root != "prompt_tuning":
            return root in sys.modules or importlib.util.find_spec(root) is not None
        # find_spec of a dotted name would import its parents, and ours import JAX.
        spec = importlib.util.find_spec(root)
        for part in inner:
            folders = spec and spec.submodule_search_locations
            spec = importlib.machinery.PathFinder.find_spec(part, folders) if folders else None
        return spec is not None
    except ValueError:  # A module without a spec, such as one made by a test, is there.
        return True


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """While open, gin's import statements see TABLE before the real modules."""
    missing = object()
    before = gin.config.__dict__.get("__import__", missing)
    gin.config.__import__ = _gin_import
    try:
        yield
    finally:
        if before is missing:
            del gin.config.__import__
        else:
            gin.config.__import__ = before
