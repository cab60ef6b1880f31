# SPDX-License-Identifier: Apache-2.0
"""How an inference run answers: prompts by name, labels, search or sampling. Settings only."""

import dataclasses
import math
from collections.abc import Sequence

from prompt_tuning.inference import predictor
from prompt_tuning.runs import input_rows


@dataclasses.dataclass(frozen=True)
class AnswerSettings:
    """What `infer` does beside T5X's arguments; the gin macros are in brackets.

    Attributes:
        input_format: "lines", "tsv", "csv" or "jsonl" of the input file; None goes by its name or,
            for standard input, by its first line [INPUT_FORMAT].
        prompts: "NAME=PATH" of prompts that rows choose by name [PROMPTS].
        prompt_column: the column of the input file with that name; None takes "prompt" if it is
            there [PROMPT_COLUMN].
        default_prompt: name of the prompt of rows that name none; None with one prompt is that one
            [DEFAULT_PROMPT].
        ensemble: all of `prompts` answer each row together [ENSEMBLE].
        label_file: a file of labels, one on each line; the likeliest of them answers [LABEL_FILE].
        num_decodes: answers to search for or to sample; None is the model's [NUM_DECODES].
        return_all_decodes: give all of them and not the best [ALL_DECODES].
        temperature: sample with it; 0 is greedy; None searches as the model does, unless topk or
            topp is set [TEMPERATURE].
        topk: sample among the k likeliest tokens; 0 is off [TOP_K].
        topp: sample among the likeliest tokens of this mass; 0 is off [TOP_P].
        seed: of the samples [SAMPLING_SEED].
    """

    input_format: str | None = None
    prompts: Sequence[str] = ()
    prompt_column: str | int | None = None
    default_prompt: str | None = None
    ensemble: bool = False
    label_file: str | None = None
    num_decodes: int | None = None
    return_all_decodes: bool = False
    temperature: float | None = None
    topk: int = 0
    topp: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.input_format not in (None, *input_rows.FORMATS):
            raise ValueError(
                f"the format of the input is {self.input_format!r}; accepted are "
                f"{', '.join(input_rows.FORMATS)}: --input_format (INPUT_FORMAT)."
            )
        paths = self.prompt_paths
        if self.default_prompt is not None and self.default_prompt not in paths:
            raise ValueError(
                f"the default prompt {self.default_prompt!r} is not among the prompts "
                f"{', '.join(paths) or '(none)'}: --default_prompt, --prompt."
            )
        if self.ensemble and len(paths) < 2:
            raise ValueError(
                f"an ensemble of {len(paths)} prompts is none; give at least two --prompt NAME=PATH "
                "or leave out --ensemble."
            )
        if self.num_decodes is not None and self.num_decodes < 1:
            raise ValueError(
                f"num_decodes is {self.num_decodes}; it must be at least 1: --num_decodes."
            )
        if self.ensemble and self.return_all_decodes:
            raise ValueError(
                "an ensemble has one answer to a row, that of most prompts; leave out --all_decodes "
                "(ALL_DECODES) or --ensemble."
            )
        self._check_sampling()

    def _check_sampling(self) -> None:
        for name, value, most, flag in (
            ("temperature", self.temperature or 0.0, math.inf, "--temperature (TEMPERATURE)"),
            ("top_k", self.topk, math.inf, "--top_k (TOP_K)"),
            ("top_p", self.topp, 1.0, "--top_p (TOP_P)"),
        ):
            if not 0 <= value <= most:
                accepted = "at least 0" if most == math.inf else f"from 0 to {most:g}"
                raise ValueError(f"{name} is {value}; it must be {accepted}: {flag}.")
        if self.topk and self.topp:
            raise ValueError(
                f"top_k is {self.topk} and top_p is {self.topp}; they exclude each other: leave out "
                "--top_k (TOP_K) or --top_p (TOP_P)."
            )

    @property
    def prompt_paths(self) -> dict[str, str]:
        """Name to path.

        Raises:
            ValueError: a text is not NAME=PATH, or a name is there twice.
        """
        paths: dict[str, str] = {}
        for text in self.prompts:
            name, equals, path = text.partition("=")
            if not (name and equals and path) or name in paths:
                raise ValueError(
                    f"--prompt={text} is not usable; accepted is NAME=PATH, each name once."
                )
            paths[name] = path
        return paths

    @property
    def prompt_of_the_nameless(self) -> str | None:
        """The name of the prompt of rows that name none, if there is one."""
        names = list(self.prompt_paths)
        return self.default_prompt or (names[0] if len(names) == 1 else None)

    @property
    def decoding_flags(self) -> list[str]:
        """Which flags about decoding were given."""
        given = {
            "--num_decodes": self.num_decodes is not None,
            "--all_decodes": self.return_all_decodes,
            "--temperature": self.temperature is not None,
            "--top_k": bool(self.topk),
            "--top_p": bool(self.topp),
        }
        return [flag for flag, is_given in given.items() if is_given]

    @property
    def sampling(self) -> predictor.Sampling | None:
        """How to sample; None searches as the model does."""
        if self.temperature is None and not self.topk and not self.topp:
            return None
        temperature = 1.0 if self.temperature is None else self.temperature
        return predictor.Sampling(temperature, self.topk, self.topp)
