# SPDX-License-Identifier: Apache-2.0
"""Which checkpoints a `RestoreCheckpointConfig` means: T5X's modes, as a list of paths.

  specific  each path is a checkpoint
  latest    each path is a model directory; its newest checkpoint
  all       each path is a model directory; all its checkpoints, oldest first

Looks into folders; opens no checkpoint.
"""

from typing import Any

from prompt_tuning.checkpoints import paths, t5x_format


def restore_paths(restore: Any) -> list[str]:
    """The paths to open, in order.

    Args:
      restore: `config.checkpoint_config.RestoreCheckpointConfig`.

    Raises:
      FileNotFoundError: for the modes "latest" and "all": a folder without checkpoints.
    """
    given = [restore.path] if isinstance(restore.path, str) else list(restore.path)
    if restore.mode == "specific":
        return given
    found = []
    for folder in given:
        steps = t5x_format.checkpoint_steps(folder)
        if not steps:
            raise FileNotFoundError(
                f"{folder} is not a folder with checkpoints checkpoint_<step>, which "
                f"RestoreCheckpointConfig.mode = {restore.mode!r} needs; give such a folder "
                "(INITIAL_CHECKPOINT_PATH, CHECKPOINT_PATH), or set mode = 'specific' for one "
                "checkpoint."
            )
        wanted = steps[-1:] if restore.mode == "latest" else steps
        found += [paths.join(folder, f"checkpoint_{step}") for step in wanted]
    return found


def single_restore_path(restore: Any) -> str:
    """The one path of a run that can start from one checkpoint only.

    Raises:
      FileNotFoundError: as `restore_paths`.
      ValueError: the configuration means several.
    """
    found = restore_paths(restore)
    if len(found) != 1:
        raise ValueError(
            f"RestoreCheckpointConfig means {len(found)} checkpoints, {found[0]} to {found[-1]}; "
            "a run starts from one. Set utils.RestoreCheckpointConfig.mode to 'latest' or "
            "'specific', and one path."
        )
    return found[0]
