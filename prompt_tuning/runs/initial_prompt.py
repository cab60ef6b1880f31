# SPDX-License-Identifier: Apache-2.0
"""Whether a fresh prompt begins where the frozen model has ever been.

The model knows its token embeddings. A prompt whose vectors are much shorter or longer than those
can still be trained, but spends its first steps on the way there.
"""

from collections.abc import Collection, Mapping

import numpy as np

from prompt_tuning.partitioning import processes

_EMBEDDING = "token_embedder/embedding"
# Rows of a trained table differ by less than this from their median.
_FAR = 4.0
_ROWS = 2000  # As many of a table tell its scale.


def scale_warning(params: Mapping[str, np.ndarray], drawn: Collection[str]) -> str | None:
    """A sentence for the user if a fresh prompt is off the embeddings' scale, else None.

    Args:
      params: flat; prompts are the drawn `[P, H]` whose name ends in `/prompt`.
      drawn: names of the parameters that no checkpoint gave.
    """
    if _EMBEDDING not in params or _EMBEDDING in drawn:
        return None
    table = params[_EMBEDDING]
    # The rows that tell, and not the table, come from wherever its pieces lie.
    usual = _median_norm(processes.fetch(table[:: max(1, len(table) // _ROWS)]))
    for name in sorted(drawn):
        prompt = np.asarray(params[name])
        if not name.endswith("/prompt") or prompt.ndim != 2 or not prompt.size:
            continue
        found = _median_norm(prompt)
        if prompt.shape[1] == table.shape[1] and not usual / _FAR <= found <= usual * _FAR:
            return (
                f"the initial prompt is far from the model's embeddings: the median norm of its "
                f"vectors is {found:.3g}, that of the embeddings {usual:.3g}. It may learn slowly; "
                "--prompt_init has starts among the embeddings."
            )
    return None


def _median_norm(rows: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(rows.astype(np.float32), axis=1)))
