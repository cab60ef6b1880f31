# SPDX-License-Identifier: Apache-2.0
"""How well a model with the bundled sizes ranks the label words, with and without a prompt.

Accuracy alone would mislead here: a model can know the polarity of every review and yet prefer one
label word whatever the review says. So the area under the ROC curve (AUC) and the greedy exact
match are reported beside it.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import metrics

from prompt_tuning.bundled.pretraining import encoded_text
from prompt_tuning.models import network


@dataclasses.dataclass(frozen=True)
class Scores:
    """Shares of the examples, each in [0, 1].

    Attributes:
      accuracy: the right label word has the higher logit at the first position.
      auc: area under the ROC curve of the difference between the two logits.
      exact_match: the right label word has the highest logit of the whole vocabulary, which makes
        it the first token of a greedy decode.
    """

    accuracy: float
    auc: float
    exact_match: float

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.3f}, AUC {self.auc:.3f}, exact match {self.exact_match:.3f}"
        )


@functools.partial(jax.jit, static_argnums=0)
def _first_logits(module: network.Transformer, params, inputs: jax.Array, extra) -> jax.Array:
    start = jnp.zeros((inputs.shape[0], 1), jnp.int32)
    # A target above 0 keeps the only position from being read as padding.
    logits: Any = module.apply({"params": params}, inputs, start, start + 1, **extra)
    return logits[:, 0]


def first_token_scores(
    module: network.Transformer,
    params,
    examples: encoded_text.LabelledTokens,
    prompt: jax.typing.ArrayLike | None = None,
) -> Scores:
    """Scores of the first target position.

    Args:
      module: the network, prompted if a prompt is given.
      params: its nested parameters.
      examples: the inputs [n, T] and label ids [n].
      prompt: [P, H], or None to use the module as it is.
    """
    extra = {} if prompt is None else {"prompt": prompt}
    logits = np.asarray(_first_logits(module, params, examples.inputs, extra))
    words = encoded_text.label_tokens()[:, 0]
    margin = logits[:, words[1]] - logits[:, words[0]]
    return Scores(
        accuracy=float(np.mean((margin > 0) == examples.labels)),
        auc=float(metrics.roc_auc_score(examples.labels, margin)),
        exact_match=float(np.mean(logits.argmax(axis=-1) == words[examples.labels])),
    )
