# SPDX-License-Identifier: Apache-2.0
"""T5 1.1 with a prompt in float64 NumPy, written from the paper's and T5X's formulas.

An oracle that shares no line with the network: no JAX, no cache, no batching tricks, everything
computed anew for every call. Slow and short. Weights are flat, under T5X's names.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

_EOS = 1
_MASKED = -1e10


def _normed(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return scale * x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6)


def _gelu(x: np.ndarray) -> np.ndarray:
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Of the last axis."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def position_bucket(distance: int, bidirectional: bool, buckets=32, farthest=128) -> int:
    """T5's bucket of key position minus query position."""
    first = 0
    if bidirectional:
        buckets //= 2
        first = buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    # T5 adds float32's epsilon inside the logarithm; at powers of two it decides.
    ratio = np.float32(distance) / exact + np.finfo(np.float32).eps
    steps = np.log(ratio) / np.log(farthest / exact) * (buckets - exact)
    return first + min(exact + int(np.float32(steps)), buckets - 1)


@dataclasses.dataclass
class ReferenceT5:
    """The model.

    Attributes:
      weights: flat, any float type.
      num_heads: N.
    """

    weights: Mapping[str, np.ndarray]
    num_heads: int

    def _weight(self, name: str) -> np.ndarray:
        return np.asarray(self.weights[name], np.float64)

    def _layers(self, stack: str) -> int:
        return len({n.split("/")[1] for n in self.weights if n.startswith(f"{stack}/layers_")})

    def _bias(self, stack: str, length: int) -> np.ndarray:
        """[N, length, length]."""
        table = self._weight(f"{stack}/relpos_bias/rel_embedding")
        both = stack == "encoder"
        chosen = [
            [position_bucket(key - query, both) for key in range(length)] for query in range(length)
        ]
        return table[:, np.array(chosen)]

    def _attention(self, name, queries, keys, visible, bias) -> np.ndarray:
        """One example: queries [Q, H], keys [K, H], visible [Q, K]."""

        def heads(part, x):
            x = x @ self._weight(f"{name}/{part}/kernel")
            return x.reshape(len(x), self.num_heads, -1).swapaxes(0, 1)

        query, key, value = heads("query", queries), heads("key", keys), heads("value", keys)
        scores = query @ key.swapaxes(1, 2) + bias  # T5 does not divide by sqrt(head_dim).
        weights = np.exp(log_softmax(scores + np.where(visible, 0, _MASKED)))
        mixed = (weights @ value).swapaxes(0, 1).reshape(len(queries), -1)
        return mixed @ self._weight(f"{name}/out/kernel")

    def _mlp(self, name: str, x: np.ndarray) -> np.ndarray:
        gate = _gelu(x @ self._weight(f"{name}/wi_0/kernel"))
        return gate * (x @ self._weight(f"{name}/wi_1/kernel")) @ self._weight(f"{name}/wo/kernel")

    def encode(self, tokens: np.ndarray, prompt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One example [T] with a prompt [P, H] to (encoded [P+T, H], live [P+T])."""
        x = np.concatenate([prompt, self._weight("token_embedder/embedding")[tokens]])
        live = np.concatenate([np.ones(len(prompt), bool), tokens > 0])
        bias, seen = self._bias("encoder", len(x)), live[:, None] & live
        for index in range(self._layers("encoder")):
            name = f"encoder/layers_{index}"
            y = _normed(x, self._weight(f"{name}/pre_attention_layer_norm/scale")) * live[:, None]
            x = x + self._attention(f"{name}/attention", y, y, seen, bias)
            y = _normed(x, self._weight(f"{name}/pre_mlp_layer_norm/scale")) * live[:, None]
            x = x + self._mlp(f"{name}/mlp", y)
        return _normed(x, self._weight("encoder/encoder_norm/scale")) * live[:, None], live

    def logits(self, encoded: np.ndarray, live: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Decoder inputs [L] without padding in front of a token, to logits [L, V]."""
        x = self._weight("token_embedder/embedding")[inputs]
        length = len(inputs)
        bias, causal = self._bias("decoder", length), np.tril(np.ones((length, length), bool))
        for index in range(self._layers("decoder")):
            name = f"decoder/layers_{index}"
            y = _normed(x, self._weight(f"{name}/pre_self_attention_layer_norm/scale"))
            x = x + self._attention(f"{name}/self_attention", y, y, causal, bias)
            y = _normed(x, self._weight(f"{name}/pre_cross_attention_layer_norm/scale"))
            seen = np.broadcast_to(live, (length, len(live)))
            x = x + self._attention(f"{name}/encoder_decoder_attention", y, encoded, seen, 0.0)
            y = _normed(x, self._weight(f"{name}/pre_mlp_layer_norm/scale"))
            x = x + self._mlp(f"{name}/mlp", y)
        final = _normed(x, self._weight("decoder/decoder_norm/scale"))
        return final @ self._weight("decoder/logits_dense/kernel")

    def target_log_probs(self, tokens, prompt, targets: Sequence[int]) -> np.ndarray:
        """Log-probability of each target of one example, [L]."""
        inputs = np.array([0, *targets[:-1]])
        found = log_softmax(self.logits(*self.encode(tokens, prompt), inputs))
        return found[np.arange(len(targets)), targets]

    def loss(self, batch, prompt, z_loss=0.0, label_smoothing=0.0) -> float:
        """The sum over all real targets; T5X's cross entropy with its z-loss and smoothing."""
        total = 0.0
        for tokens, row in zip(
            batch["encoder_input_tokens"], batch["decoder_target_tokens"], strict=True
        ):
            targets = row[: int((row > 0).sum())]
            inputs = np.array([0, *targets[:-1]])
            logits = self.logits(*self.encode(tokens, prompt), inputs)
            log_probs = log_softmax(logits)
            log_z = (logits - log_probs)[:, 0]
            low = label_smoothing / (logits.shape[1] - 1)
            goal = np.full(logits.shape, low)
            goal[np.arange(len(targets)), targets] = 1 - label_smoothing
            # Smoothed targets have an entropy of their own, which T5X takes off.
            entropy = -np.sum(goal[0] * np.log(goal[0] + 1e-20)) if label_smoothing else 0.0
            total += -np.sum(goal * log_probs) - len(targets) * entropy
            total += z_loss * np.sum(log_z**2)
        return total

    def beams(self, tokens, prompt, length: int, beams: int, alpha: float) -> list[tuple]:
        """`(score, tokens)` of one example's beam search, best first."""

        def penalty(n):
            return ((5 + n) / 6) ** alpha

        encoded, live_positions = self.encode(tokens, prompt)
        live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
        finished: list[tuple[float, tuple[int, ...]]] = []
        for step in range(1, length + 1):
            candidates = []
            for score, sequence in live:
                logits = self.logits(encoded, live_positions, np.array([0, *sequence]))[-1]
                candidates += [
                    (score + value, (*sequence, token))
                    for token, value in enumerate(log_softmax(logits))
                ]
            candidates = sorted(candidates, reverse=True)[: 2 * beams]
            ended = [(s / penalty(step), t) for s, t in candidates if t[-1] == _EOS]
            finished = sorted(finished + ended, reverse=True)[:beams]
            live = [(s, t) for s, t in candidates if t[-1] != _EOS][:beams]
            if len(finished) == beams and finished[-1][0] > live[0][0] / penalty(length + 1):
                break
        return finished or live


def adafactor(
    param: np.ndarray,
    grads: Sequence[np.ndarray],
    first_step: int,
    learning_rate: float,
    weight_decay: float = 1e-5,
) -> list[np.ndarray]:
    """The parameter after each update, as prompt tuning sets Adafactor; slots begin at zero."""
    param = np.asarray(param, np.float64)
    factored = min(param.shape) >= 128
    # The rows' statistic belongs to the shorter dimension.
    long = int(np.argmax(param.shape))
    moment, rows, columns = np.zeros(param.shape), 0.0, 0.0
    result = []
    for index, grad in enumerate(grads):
        grad = np.asarray(grad, np.float64)
        # The decay is a float32 near 1, whose rounding is much of its distance from 1.
        step = np.float32(first_step + index + 1)
        decay = float(np.float32(1) - step ** np.float32(-0.8))
        square = grad**2 + 1e-30
        if factored:
            rows = decay * rows + (1 - decay) * square.mean(axis=long)
            columns = decay * columns + (1 - decay) * square.mean(axis=1 - long)
            scale = np.expand_dims(rows / rows.mean(), long) * np.expand_dims(columns, 1 - long)
        else:
            moment = decay * moment + (1 - decay) * square
            scale = moment
        update = grad / np.sqrt(scale)
        update /= max(1.0, np.sqrt(np.mean(update**2)))
        param = (1 - weight_decay) * param - learning_rate * update
        result.append(param)
    return result
