# SPDX-License-Identifier: Apache-2.0
"""What a SentencePiece model tells of the ids behind its pieces. Knows no tokenizer of this project.

T5's `spiece.model` has 32,000 pieces, and the model knows 100 sentinels `<extra_id_99>` to
`<extra_id_0>` behind them; mT5's has its sentinels among the pieces.
"""

import importlib

_SENTINELS = 100
_SENTINEL_NAMES = ("<extra_id_0>", "\u2581<extra_id_0>")


def extra_ids(path: str, rows: int) -> int:
    """How many sentinels stand behind the pieces of a vocabulary.

    Args:
      path: of the SentencePiece model.
      rows: of the model's token table; there are no more ids than it has rows.

    Raises:
      ValueError: the file is no SentencePiece model.
    """
    # By name: few who open a checkpoint ask for its sentinels.
    sentencepiece = importlib.import_module("sentencepiece")
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_file=path)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"{path} is no SentencePiece model; give the model's own: --vocabulary."
        ) from error
    if any(pieces.piece_to_id(name) != pieces.unk_id() for name in _SENTINEL_NAMES):
        return 0
    return max(0, min(_SENTINELS, rows - pieces.get_piece_size()))
