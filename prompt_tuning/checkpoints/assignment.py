# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint array initializes which array of a model: T5X's `assignment_map`.

Pure functions of names. Names carry T5X's prefixes: `target/...`, `state/step`,
`state/param_states/...`.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence

AssignmentMap = Sequence[tuple[str, str | None]]


def apply_assignment_map(
    checkpoint_names: Collection[str],
    model_names: Iterable[str],
    assignment_map: AssignmentMap | None = None,
    fallback_to_scratch: bool = False,
    strict: bool = True,
) -> dict[str, str | None]:
    """For every model name the checkpoint name to read, or None to initialize it afresh.

    For each model name the first rule whose regular expression matches the whole of it decides; its
    replacement may refer to groups, and None means "afresh". A name without a rule takes the array
    of its own name. Upstream: `state_utils.apply_assignment_map`, followed by the restore.

    Args:
      checkpoint_names: what the checkpoint holds.
      model_names: what the model needs.
      assignment_map: (regular expression over model names, checkpoint name or None).
      fallback_to_scratch: a name without a rule and without an array starts afresh, instead of
        being an error.
      strict: every `target/` array of the checkpoint must be used, or be passed over by a rule
        that says None.

    Raises:
      ValueError: a rule is malformed, matches nothing, or names an array that is not there; a model
        name finds none; or an array is left over.
    """
    rules = [(_compiled(pattern), replacement) for pattern, replacement in assignment_map or ()]
    available = set(checkpoint_names)
    assigned: dict[str, str | None] = {}
    unused = set(range(len(rules)))
    missing = []
    for name in model_names:
        index, match = _first_match(rules, name)
        if match is not None:
            unused.discard(index)
            assigned[name] = _replaced(match, rules[index][1], available)
        elif name in available:
            assigned[name] = name
        else:
            assigned[name] = None
            missing.append(name)
    _check_rules_used([rules[index][0].pattern for index in sorted(unused)], assigned)
    if missing and not fallback_to_scratch:
        raise ValueError(_missing_message(missing, available))
    if strict:
        _check_all_used(available, assigned)
    return assigned


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"assignment_map has the pattern {pattern!r}, which is no regular expression ({error})."
        ) from error


def _first_match(
    rules: Sequence[tuple[re.Pattern[str], str | None]], name: str
) -> tuple[int, re.Match[str] | None]:
    for index, (pattern, _) in enumerate(rules):
        match = pattern.fullmatch(name)
        if match:
            return index, match
    return -1, None


def _replaced(match: re.Match[str], replacement: str | None, available: set[str]) -> str | None:
    if replacement is None:
        return None
    try:
        name = match.expand(replacement)
    except (re.error, IndexError) as error:
        raise ValueError(
            f"assignment_map replaces {match.re.pattern!r} by {replacement!r}, which cannot be "
            f"expanded ({error})."
        ) from error
    if name not in available:
        raise ValueError(
            f"assignment_map takes {match.string} from {name}, which is not in the checkpoint."
            + _nearest(name, available)
        )
    return name


def _check_rules_used(patterns: Sequence[str], assigned: Collection[str]) -> None:
    if patterns:
        listed = ", ".join(repr(pattern) for pattern in patterns)
        raise ValueError(
            f"assignment_map has rules that match no name of the model: {listed}. A pattern must "
            f"match a whole name such as {min(assigned, default='state/step')}."
        )


def _missing_message(missing: Sequence[str], available: set[str]) -> str:
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    return (
        f"the checkpoint has no {missing[0]}{more}.{_nearest(missing[0], available)} Name another "
        "array in RestoreCheckpointConfig.assignment_map, or set fallback_to_scratch = True to "
        "initialize it."
    )


def _check_all_used(available: set[str], assigned: dict[str, str | None]) -> None:
    # A model name that starts afresh has decided about the checkpoint's array of that name, too.
    used = set(assigned.values()) | set(assigned)
    left = sorted(name for name in available - used if name.startswith("target/"))
    if left:
        raise ValueError(
            f"the checkpoint holds {len(left)} arrays that the model does not have, for example "
            f"{left[0]}.{_nearest(left[0], set(assigned))} Choose the model of this checkpoint, or "
            "set RestoreCheckpointConfig.strict = False."
        )


def _nearest(name: str, names: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=3, cutoff=0.6)
    return f" The nearest names are {', '.join(close)}." if close else ""
