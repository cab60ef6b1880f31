# SPDX-License-Identifier: Apache-2.0
"""Which parameters train: a set of regexes over parameter names, and nothing more.

Works on flat `{name: value}` dicts whose names are T5X's paths joined with "/". A regex must match
the whole of "/" + name, as T5X's traversals see it, so upstream's `.*/prompt/.*` selects
`encoder/prompt/prompt/prompt`. Knows no optimizer and no prompt: prompt tuning, model tuning and
pre-training differ in the regexes alone.
"""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class MatchAny:
    """Predicate `(path, value) -> bool`: true when any regex matches the whole path.

    A class, not a closure, so that whoever uses it can say which of its regexes selected nothing.
    """

    regexes: tuple[str, ...]

    def __post_init__(self):
        for regex in self.regexes:
            try:
                re.compile(regex)
            except re.error as error:
                raise ValueError(
                    f"{regex!r} is not a regular expression ({error}); correct PROMPT_REGEX or "
                    "TRAINABLE_REGEX."
                ) from None

    def __call__(self, path: str, value: Any = None) -> bool:
        del value
        return any(re.fullmatch(regex, path) for regex in self.regexes)


def match_any(regexes: Sequence[str]) -> MatchAny:
    """Returns the predicate upstream calls `match_any` (bound to PROMPT_REGEX in gin).

    Raises:
      ValueError: for a bare string (one regex without its list) or an invalid regex.
    """
    if isinstance(regexes, str):
        raise ValueError(
            f"the regexes are the single string {regexes!r}; write a list, e.g. [{regexes!r}]."
        )
    return MatchAny(tuple(regexes))


def nearest_names(pattern: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Returns up to `count` of `names` that look most like the literal part of `pattern`."""
    names = list(names)
    literal = re.sub(r"[^\w/]+", "", pattern).strip("/")
    return difflib.get_close_matches(literal, names, n=count, cutoff=0.0) or names[:count]


def check_each_matches(regexes: Sequence[str], names: Iterable[str]) -> None:
    """Raises ValueError, with the nearest parameter names, for a regex that selects nothing."""
    names = list(names)
    for regex in regexes:
        if not any(re.fullmatch(regex, "/" + name) for name in names):
            raise ValueError(
                f"the regex {regex!r} matches none of the model's {len(names)} parameters; it must "
                'match the whole of "/" + name. The nearest names are '
                f"{nearest_names(regex, names)}. Change PROMPT_REGEX or TRAINABLE_REGEX."
            )


def select(names: Iterable[str], regexes: Sequence[str]) -> list[str]:
    """Returns the sorted names whose "/" + name fully matches any of `regexes`.

    Raises:
      ValueError: when one of the regexes matches no name at all.
    """
    names = list(names)
    predicate = match_any(regexes)
    check_each_matches(predicate.regexes, names)
    return sorted(name for name in names if predicate("/" + name))


def split_by_name(
    params: Mapping[str, T], names: Iterable[str]
) -> tuple[dict[str, T], dict[str, T]]:
    """Splits flat `params` into (those in `names`, the rest), each sorted by name.

    Raises:
      KeyError: when a name is not in `params` (a mistake of the caller, not of the user).
    """
    chosen = set(names)
    if chosen - set(params):
        raise KeyError(f"not in the parameters: {sorted(chosen - set(params))}")
    inside = {name: params[name] for name in sorted(chosen)}
    outside = {name: params[name] for name in sorted(params) if name not in chosen}
    return inside, outside


def split(params: Mapping[str, T], regexes: Sequence[str]) -> tuple[dict[str, T], dict[str, T]]:
    """Splits flat `params` into (trainable, frozen) by regexes on "/" + name.

    Raises:
      ValueError: when one of the regexes matches no parameter.
    """
    return split_by_name(params, select(params, regexes))


def merge(trainable: Mapping[str, T], frozen: Mapping[str, T]) -> dict[str, T]:
    """Returns the union of two flat parameter dicts; the inverse of `split`.

    Raises:
      ValueError: when a name is in both.
    """
    both = sorted(set(trainable) & set(frozen))
    if both:
        raise ValueError(f"parameters are both trainable and frozen: {both}")
    return {**frozen, **trainable}
