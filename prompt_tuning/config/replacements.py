# SPDX-License-Identifier: Apache-2.0
"""Names of T5X and upstream that gin files may use there and that are not here: what to write instead.

Only words; what exists is in `aliases.TABLE`.
"""

_RUN_DOES_IT = "the run does this by itself: remove the binding"
_ADAFACTOR = "use @adafactor.Adafactor() in optimizers.MultiOptimizer.traversals_and_optimizers"
_BIND_MODE = "bind utils.RestoreCheckpointConfig.path and .mode"
_NO_ORBAX = "checkpoints are written in T5X's native format: remove the binding"

_OPTAX = (
    "adam adamw adabelief adagrad fromage lamb lars lion noisy_sgd radam rmsprop sgd yogi dpsgd "
    "amos chain OptaxWrapper"
)

# {module: {names: what to do}}
_TABLE = {
    "t5x.utils": {
        "TrainStateInitializer get_dataset get_vocabulary TrainEvalGetDatasetCallable "
        "get_training_eval_datasets verify_matching_vocabs": _RUN_DOES_IT,
        "create_orbax_checkpoint_manager": _NO_ORBAX,
        "log_model_info": "model-info.txt is always written: remove the binding",
    },
    "t5x.adafactor": {
        "standard_factor_rules": "use adafactor.standard_logical_factor_rules",
    },
    "t5x.optimizers": {_OPTAX: _ADAFACTOR},
    "t5x.partitioning": {
        "ModelBasedPjitPartitioner": "use partitioning.PjitPartitioner",
    },
    "t5x.checkpoints": {
        "SaveBestCheckpointer": "every period's numpy prompt is kept: take the best one's file",
        "OrbaxCheckpointManagerInterface CheckpointManager": _NO_ORBAX,
        "load_t5x_checkpoint": "use prompts.t5x_load for one array",
        "latest_step get_checkpoint_dir": _BIND_MODE,
    },
    "t5x.trainer": {
        "WeightMetricsComputer MetricsManager": _RUN_DOES_IT,
    },
    "seqio": {
        "get_dataset get_mixture_or_task": _RUN_DOES_IT,
        "ByteVocabulary": "a SentencePiece model is needed: seqio.SentencePieceVocabulary",
    },
}

_REPLACEMENTS = {
    (module, name): sentence
    for module, entries in _TABLE.items()
    for names, sentence in entries.items()
    for name in names.split()
}


def replacement(module: str, name: str) -> str | None:
    """What to do instead of `module.name`, or None where nothing is known of it."""
    return _REPLACEMENTS.get((module, name))
