# SPDX-License-Identifier: Apache-2.0
"""What training_benchmark gives to both sides: sizes, fixed batches, and texts of SST-2's lengths.

Always the same numbers for the same arguments.
"""

import pathlib

import numpy as np

from prompt_tuning.bundled import world

# transformers' names; the peer makes the model.
SIZES = {
    "tiny": {"vocab_size": 1280, "d_model": 32, "d_kv": 16, "d_ff": 48, "num_heads": 2,
             "num_layers": 1, "num_decoder_layers": 1},
    "small": {"vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 1024, "num_heads": 6,
              "num_layers": 8, "num_decoder_layers": 8},
    "base": {"vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 2048, "num_heads": 12,
             "num_layers": 12, "num_decoder_layers": 12},
    "xl": {"vocab_size": 32128, "d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_heads": 32,
           "num_layers": 24, "num_decoder_layers": 24},
    "xxl": {"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_heads": 64,
            "num_layers": 24, "num_decoder_layers": 24},
}  # fmt: skip

# Words of a sentence in SST-2's training split: most are phrases, a median of 7 and a mean of 9.4.
_MEDIAN_WORDS, _SPREAD, _MOST_WORDS = 7.0, 0.77, 52


def fixed_batch(batch: int, inputs: int, targets: int, vocab_size: int) -> dict[str, np.ndarray]:
    """Random ids without padding: encoder `[B, T]`, decoder `[B, L]`, int32."""
    random = np.random.default_rng(0)
    encoder = random.integers(3, vocab_size, (batch, inputs), np.int32)
    decoder = random.integers(3, vocab_size, (batch, targets), np.int32)
    return {
        "encoder_input_tokens": encoder,
        "decoder_input_tokens": np.pad(decoder, ((0, 0), (1, 0)))[:, :-1],
        "decoder_target_tokens": decoder,
        "decoder_loss_weights": np.ones_like(decoder),
    }


def text_rows(count: int) -> list[tuple[str, str]]:
    """`(text, label)`; words of the bundled world, in number like SST-2's."""
    random = np.random.default_rng(1)
    lengths = np.exp(random.normal(np.log(_MEDIAN_WORDS), _SPREAD, count))
    lengths = np.clip(np.rint(lengths), 1, _MOST_WORDS).astype(int)
    words = " ".join(text for text, _ in world.classification_examples("train", 500)).split()
    rows, at = [], 0
    for index, length in enumerate(lengths):
        rows.append((" ".join(words[at : at + length]), ("negative", "positive")[index % 2]))
        at = (at + length) % (len(words) - _MOST_WORDS)
    return rows


def write_rows(path: pathlib.Path, rows: list[tuple[str, str]]) -> None:
    """As a TSV file without a header."""
    path.write_text("".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")


def minimum_flops(sizes: dict[str, int], batch: int, positions: int, targets: int) -> float:
    """Floating-point operations that one step cannot do without, as projections are usually done.

    Products of the forward pass, and those that bring the gradient of the activations back; none
    for the gradients of frozen weights. `positions` includes the prompt.
    """
    width, mlp = sizes["d_model"], sizes["d_ff"]
    inner = sizes["num_heads"] * sizes["d_kv"]

    def attention(queries: int, keys: int, projected_keys: int) -> float:
        projections = 2 * width * inner * (2 * queries + 2 * projected_keys)
        return projections + 4 * queries * keys * inner

    encoder = attention(positions, positions, positions) + 6 * positions * width * mlp
    decoder = attention(targets, targets, targets) + attention(targets, positions, positions)
    decoder += 6 * targets * width * mlp
    head = 2 * targets * width * sizes["vocab_size"]
    forward = sizes["num_layers"] * encoder + sizes["num_decoder_layers"] * decoder + head
    # A product of two activations, as in attention itself, has two gradients.
    both = (
        4
        * inner
        * (
            sizes["num_layers"] * positions**2
            + sizes["num_decoder_layers"] * targets * (targets + positions)
        )
    )
    return batch * (2.0 * forward + both)
