# SPDX-License-Identifier: Apache-2.0
"""Shows what is inside trained prompts: which pieces they are near, how long, how far they went.

  tools/bazel run //tools:inspect_prompt -- --base_model=flan-t5-base \\
    --prompt=sst2=/prompts/sst2.npy --prompt=mrpc=/runs/mrpc --html=/tmp/prompts.html \\
    --initial=mrpc=/runs/mrpc/numpy_checkpoints/checkpoint_0

  tools/bazel run //tools:inspect_prompt -- --prompt=sst2=/prompts/sst2.npy \\
    --checkpoint_dir=/models/t5_1_1_base/checkpoint_1100000 \\
    --vocabulary=/models/sentencepiece.model --extra_ids=100

A prompt is an npy file, the folder of a run, one of its numpy checkpoints, a T5X checkpoint, a PEFT
adapter or a prompt artifact; the first numpy checkpoint of a run is what it began with.
--embedding_file takes the place of the model if only its table is at hand. Prompts rarely lie close
to a piece, and their nearest pieces are a hint at most (Lester et al. 2021, section 7).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import rich.console
import rich.markup
import rich.table
from absl import app, flags

from data_ops import vocabulary
from prompt_tuning.checkpoints import base_checkpoint, paths, prompt_files
from prompt_tuning.prompts import prompt_geometry
from tools.checkpoints import command_line, variables
from tools.prompts import prompt_page

PROMPT = flags.DEFINE_multi_string("prompt", None, "NAME=PATH of a prompt; may be repeated.")
INITIAL = flags.DEFINE_multi_string(
    "initial", [], "NAME=PATH of the value that the prompt NAME began from; may be repeated."
)
BASE_MODEL = flags.DEFINE_string(
    "base_model",
    None,
    "HuggingFace folder or hub name of the frozen model, for its embedding and its vocabulary.",
)
CHECKPOINT_DIR = flags.DEFINE_string(
    "checkpoint_dir", None, "T5X checkpoint of the frozen model, for its embedding."
)
EMBEDDING_FILE = flags.DEFINE_string(
    "embedding_file", None, "An npy file of the embedding [V, H], instead of a model."
)
VOCABULARY = flags.DEFINE_string(
    "vocabulary", None, "The SentencePiece model; --base_model has its own."
)
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
    embedding, pieces = _embedding(), _vocabulary()
    # Rows behind the vocabulary are padding of the table and stand for no piece.
    embedding = embedding[: pieces.vocab_size]
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


def _vocabulary() -> vocabulary.SentencePieceVocabulary:
    if VOCABULARY.value is None and BASE_MODEL.value is not None:
        found = base_checkpoint.describe(BASE_MODEL.value)
        if found.vocabulary_file:
            return vocabulary.SentencePieceVocabulary(found.vocabulary_file, found.extra_ids)
    return vocabulary.SentencePieceVocabulary(command_line.required(VOCABULARY), EXTRA_IDS.value)


def _embedding() -> np.ndarray:
    given = [
        flag for flag in (BASE_MODEL, CHECKPOINT_DIR, EMBEDDING_FILE) if flag.value is not None
    ]
    if len(given) != 1:
        raise ValueError(
            "the pieces near a prompt are those of its frozen model; give one of --base_model, "
            "--checkpoint_dir and --embedding_file."
        )
    (flag,) = given
    path = command_line.required(flag)
    if flag is EMBEDDING_FILE:
        return prompt_files.read_prompt(path)  # As large an array of its kind.
    checkpoint = base_checkpoint.open_base(path)
    return variables.find_variable(checkpoint, _EMBEDDING, flag.name).get("float32")


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
            names = [rich.markup.escape(prompt.name) for prompt in measured]
            table = rich.table.Table("", *names, title=caption)
            for name, row in zip(names, values, strict=True):
                table.add_row(name, *(f"{value:.3f}" for value in row))
            console.print(table)


def _table(prompt: prompt_page.MeasuredPrompt) -> rich.table.Table:
    geometry = dataclasses.asdict(prompt.geometry)
    shown = {"norms": "norm", "drift": "drift", "kept": "cosine with start"}
    columns = {shown[name]: geometry[name] for name in shown if geometry[name] is not None}
    table = rich.table.Table(title=rich.markup.escape(prompt.name))
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
    flags.mark_flags_as_required(["prompt"])
    command_line.run(main)
