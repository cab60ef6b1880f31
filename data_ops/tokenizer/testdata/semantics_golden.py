# SPDX-License-Identifier: Apache-2.0
"""Makes semantics.json: texts of which two releases of sentencepiece give different ids.

    python data_ops/tokenizer/testdata/semantics_golden.py   # once per environment

Run it with sentencepiece 0.2.1 and with 0.2.3, in either order, over tiny.model: each run fills in
its column. The texts are runs of one character among words, where rounding decides.
"""

import importlib.metadata
import json
import pathlib
import random

import sentencepiece

_FOLDER = pathlib.Path(__file__).parent
_COLUMNS = {"0.2.1": "classic", "0.2.3": "0.2.3"}
_PARTS = ["-", "=", ".", "e", "s", "the", "cat", "0", "<mask>", "\u4e2d", "th", " ", " "]


def texts(count: int) -> list[str]:
    """The same in every environment."""
    rng = random.Random(1)
    parts = lambda: (rng.choice(_PARTS) * rng.randrange(1, 12) for _ in range(rng.randrange(2, 40)))
    return ["".join(parts()) for _ in range(count)]


def main() -> None:
    column = _COLUMNS[importlib.metadata.version("sentencepiece")]
    processor = sentencepiece.SentencePieceProcessor(model_file=str(_FOLDER / "tiny.model"))
    path = _FOLDER / "semantics.json"
    rows = json.loads(path.read_text()) if path.exists() else [{"text": t} for t in texts(4000)]
    for row in rows:
        row[column] = processor.encode(row["text"])
    if all(set(_COLUMNS.values()) <= set(row) for row in rows):
        rows = [row for row in rows if row["classic"] != row["0.2.3"]][:40]
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
