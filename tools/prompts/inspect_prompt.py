# SPDX-License-Identifier: Apache-2.0
"""Shows what is inside trained prompts: which pieces they are near, how long, how far they went.

  tools/bazel run //tools/prompts:inspect_prompt -- \\
    --prompt=sst2=/prompts/sst2.npy --prompt=mrpc=/runs/mrpc \\
    --checkpoint_dir=/models/t5_1_1_base/checkpoint_1100000 \\
    --vocabulary=/models/sentencepiece.model --extra_ids=100 --html=/tmp/prompts.html

A prompt is an npy file, a model directory or a T5X checkpoint. --embedding_file takes the place of
--checkpoint_dir if only the table of the model is at hand. Prompts rarely lie close to a piece, and
their nearest pieces are a hint at most (Lester et al. 2021, section 7).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import rich.console
import rich.markup
import rich.table
from absl import app, flags

from data_ops import vocabulary
from prompt_tuning.checkpoints import paths, prompt_files, t5x_format
from prompt_tuning.prompts import prompt_geometry
from tools.checkpoints import command_line, variables
from tools.prompts import prompt_page

PROMPT = flags.DEFINE_multi_string("prompt", None, "NAME=PATH of a prompt; may be repeated.")
INITIAL = flags.DEFINE_multi_string(
    "initial", [], "NAME=PATH of the value that the prompt NAME began from; may be repeated."
)
CHECKPOINT_DIR = flags.DEFINE_string(
    "checkpoint_dir", None, "T5X checkpoint of the frozen model, for its embedding."
)
EMBEDDING_FILE = flags.DEFINE_string(
    "embedding_file", None, "An npy file of the embedding [V, H], instead of --checkpoint_dir."
)
VOCABULARY = flags.DEFINE_string("vocabulary", None, "The SentencePiece model.")
EXTRA_IDS = flags.DEFINE_integer("extra_ids", 0, "Sentinels behind the pieces of the model.")
NEAREST = flags.DEFINE_integer("nearest", 5, "Pieces to show for each position.", lower_bound=1)
HTML = flags.DEFINE_string("html", None, "Also write a page with plots here.")

_EMBEDDING = "token_embedder/embedding"


def main(argv: Sequence[str]) -> None:
    """Reads, measures, prints, and writes the page."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    prompts = _read_all(command_line.required(PROMPT), "prompt")
    initial = _read_all(INITIAL.value, "initial")
    if unknown := sorted(set(initial) - set(prompts)):
        raise ValueError(
            f"--initial names {', '.join(unknown)}, which is no prompt; --prompt has "
            f"{', '.join(prompts)}."
        )
    pieces = vocabulary.SentencePieceVocabulary(command_line.required(VOCABULARY), EXTRA_IDS.value)
    # Rows behind the vocabulary are padding of the table and stand for no piece.
    embedding = _embedding()[: pieces.vocab_size]
    measured = []
    for name, prompt in prompts.items():
        geometry = prompt_geometry.measure(prompt, embedding, NEAREST.value, initial.get(name))
        near = geometry.neighbours.tolist()
        words = [[pieces.tokenizer.id_to_piece(row) for row in rows] for rows in near]
        measured.append(prompt_page.MeasuredPrompt(name, geometry, words))
    similarities = {
        "Cosine of the mean vectors": prompt_geometry.similarity_of_averages([*prompts.values()]),
        "Mean cosine over all pairs of positions": prompt_geometry.similarity_of_positions(
            [*prompts.values()]
        ),
    }
    norm = float(np.median(np.linalg.norm(embedding, axis=1)))
    _print(measured, similarities, norm)
    if HTML.value:
        page = prompt_page.render(measured, similarities, norm)
        paths.write_bytes(HTML.value, page.encode("utf-8"))
        print(f"wrote {HTML.value}")


def _read_all(values: Sequence[str], flag: str) -> dict[str, np.ndarray]:
    prompts: dict[str, np.ndarray] = {}
    for value in values:
        name, separator, path = value.partition("=")
        if not (name and separator and path) or name in prompts:
            raise ValueError(
                f"--{flag}={value} is not usable; accepted is NAME=PATH, each name once."
            )
        prompts[name] = prompt_files.read_prompt(path)
        if not len(prompts[name]):
            raise ValueError(f"--{flag}={value} has no positions; give a prompt with some.")
    return prompts


def _embedding() -> np.ndarray:
    folder, file = CHECKPOINT_DIR.value, EMBEDDING_FILE.value
    if folder is None and file is not None:
        return prompt_files.read_prompt(file)  # As large an array of its kind.
    if folder is None or file is not None:
        raise ValueError("Give one of --checkpoint_dir and --embedding_file.")
    checkpoint = t5x_format.open_checkpoint(folder)
    return variables.find_variable(checkpoint, _EMBEDDING, "checkpoint_dir").get("float32")


def _print(
    measured: Sequence[prompt_page.MeasuredPrompt],
    similarities: Mapping[str, np.ndarray],
    vocabulary_norm: float,
) -> None:
    console = rich.console.Console()
    # Where nobody looks at a terminal, a line should not be cut at its width.
    if not console.is_terminal:
        console = rich.console.Console(width=200)
    for prompt in measured:
        console.print(_table(prompt))
    console.print(f"median norm of the vocabulary: {vocabulary_norm:.3g}")
    if len(measured) > 1:
        for caption, values in similarities.items():
            table = rich.table.Table("", *(p.name for p in measured), title=caption)
            for prompt, row in zip(measured, values, strict=True):
                table.add_row(prompt.name, *(f"{value:.3f}" for value in row))
            console.print(table)


def _table(prompt: prompt_page.MeasuredPrompt) -> rich.table.Table:
    geometry = dataclasses.asdict(prompt.geometry)
    shown = {"norms": "norm", "drift": "drift", "kept": "cosine with start"}
    columns = {shown[name]: geometry[name] for name in shown if geometry[name] is not None}
    table = rich.table.Table(title=prompt.name)
    for heading in ("position", *columns):
        table.add_column(heading, justify="right")
    table.add_column("nearest pieces (cosine)")
    for position, pieces in enumerate(prompt.pieces):
        near = "  ".join(
            f"{rich.markup.escape(piece)} {cosine:.2f}"
            for piece, cosine in zip(pieces, prompt.geometry.likeness[position], strict=True)
        )
        numbers = (f"{values[position]:.3g}" for values in columns.values())
        table.add_row(str(position), *numbers, near)
    return table


if __name__ == "__main__":
    flags.mark_flags_as_required(["prompt", "vocabulary"])
    command_line.run(main)
