# SPDX-License-Identifier: Apache-2.0
"""T5X's gin flags, and the way from them to a parsed configuration.

The text is checked before anything that it names is imported: a typing mistake is reported within
a second, and neither JAX nor TensorFlow is loaded for it. Knows no macro; the flags that set macros
by friendlier names are in `friendly_flags`.
"""

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gin
import gin.config
from absl import flags

from prompt_tuning.config import aliases, gin_checks, gin_files, spelling

_PREFIX = "--gin."

# How gin ends a message, and how it says that an argument does not exist.
_PLACE = re.compile(r'\n\s*In (?:file "(?P<file>[^"]+)",|bindings string) line (?P<line>\d+)')
_UNKNOWN_ARGUMENT = re.compile(r"Configurable '([^']+)' doesn't have a parameter named '([^']+)'")

_UNKNOWN_NAME = re.compile(
    r"Couldn't resolve selector (?P<selector>[\w.]+); <(?:module|class) '(?P<owner>[\w.]+)'.*?>"
    r".* has no attribute (?P<name>\w+)"
)

FLAG_NAMES = (
    "gin_file",
    "gin_bindings",
    "gin_search_paths",
    "tfds_data_dir",
    "seqio_additional_cache_dirs",
    "dry_run",
    "debug",
)


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags that T5X's binaries share; a second call changes nothing."""
    if "gin_file" in flag_values:
        return
    flags.DEFINE_multi_string(
        "gin_file",
        None,
        "Gin file; may be repeated. Later files override earlier ones: give models, prompts, "
        "sizes, decoding and runs in this order. Default: what --model stands for.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "gin_bindings",
        [],
        "One gin binding, 'NAME = VALUE'; may be repeated. --gin.NAME=VALUE is the short form; "
        "text needs its own quotes, --gin.MODEL_DIR=\"'/path'\".",
        flag_values=flag_values,
    )
    flags.DEFINE_list(
        "gin_search_paths",
        ["."],
        "Comma-separated folders in which gin files are looked for, before those of this project.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "tfds_data_dir", None, "Folder of prepared TFDS datasets.", flag_values=flag_values
    )
    flags.DEFINE_list(
        "seqio_additional_cache_dirs",
        [],
        "Further folders with SeqIO's cached tasks.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Print the configuration, parameters, batch shapes and memory, then stop.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "debug", False, "Show the Python traceback of an error too.", flag_values=flag_values
    )


def rewrite_gin_args(args: Sequence[str]) -> list[str]:
    """Turns every `--gin.NAME=VALUE` into `--gin_bindings=NAME = VALUE`, as T5X does.

    Raises:
        ValueError: a `--gin.` argument without `=`.
    """
    rewritten = []
    for arg in args:
        if not arg.startswith(_PREFIX):
            rewritten.append(arg)
            continue
        name, equals, value = arg[len(_PREFIX) :].partition("=")
        if not equals or not name:
            raise ValueError(f"{arg!r} has no value; write --gin.NAME=VALUE")
        rewritten.append(f"--gin_bindings={name} = {value}")
    return rewritten


def search_paths(user_paths: Sequence[str]) -> list[str]:
    """The user's folders, then those of this project."""
    return [*user_paths, *gin_files.DEFAULT_SEARCH_PATHS]


@contextlib.contextmanager
def _gin_file_lookup(paths: Sequence[str]) -> Iterator[None]:
    """While open, gin looks for files exactly where `gin_files.resolve` does.

    gin only adds search paths, for ever; and its second reader looks a folder up as a Python
    package, which fails on folders that are packages without an `__init__.py`.
    """
    prefixes, readers = gin.config._LOCATION_PREFIXES, gin.config._FILE_READERS
    before = prefixes[:], readers[:]
    prefixes[:], readers[:] = ["", *paths], readers[:1]
    try:
        yield
    finally:
        prefixes[:], readers[:] = before


def one_line(message: str) -> str:
    """gin's message of several lines as one, with `file:line` in front where it names a place."""
    head = re.split(r"\n\s*In call to configurable ", message)[0]
    place = _PLACE.search(head)
    text = " ".join((head[: place.start()] if place else head).split())
    if place and place["file"]:
        return f"{place['file']}:{place['line']}: {text}"
    return text


def _explained(message: str) -> str:
    """gin's words for a name or an argument that does not exist, with the nearest ones."""
    if found := _UNKNOWN_ARGUMENT.search(message):
        selector, argument = found.groups()
        names = _arguments(selector)
        has = f" (it has {', '.join(names)})" if names else ""
        return message.rstrip(".") + spelling.nearest(argument, names) + has
    if found := _UNKNOWN_NAME.search(message):
        owner = sys.modules.get(found["owner"])
        near = spelling.nearest(found["name"], dir(owner)) if owner else ""
        sentence = f"{found['owner']} has no {found['name']!r}{near}"
        return message[: found.start()] + sentence
    return message


def _arguments(selector: str) -> list[str]:
    """Arguments of what a selector names, as far as gin has registered it."""
    tail = ".".join(selector.split(".")[1:]) or selector
    registered = [
        info.wrapped
        for full, info in gin.config._REGISTRY.items()
        if gin_checks.ends_with(full, tail)
    ]
    if not registered:
        return []
    return [name for name in inspect.signature(registered[0]).parameters if name != "self"]


def parse_gin(files: Sequence[str], bindings: Sequence[str], paths: Sequence[str]) -> None:
    """Parses files in order, then bindings, into gin's configuration; imports what they name.

    Raises:
        ValueError: whatever gin finds wrong, as one line with the place.
    """
    with aliases.installed(), _gin_file_lookup(paths):
        try:
            gin.parse_config_files_and_bindings(list(files), list(bindings), finalize_config=True)
        except (
            ValueError,
            AttributeError,
            NameError,
            SyntaxError,
            aliases.UnknownModuleError,
        ) as error:
            raise ValueError(_explained(one_line(str(error)))) from error


def entry_point_function(entry_point: str) -> Callable[..., Any]:
    """The function behind "train", "evaluate" or "infer", without its bindings."""
    return aliases.load(aliases.ENTRY_POINTS[entry_point])


def configured(entry_point: str) -> Callable[..., Any]:
    """The function behind "train", "evaluate" or "infer", with what the parsed files bind."""
    return gin.get_configurable(entry_point_function(entry_point))


def record_call(entry_point: str) -> None:
    """Adds the entry point's bindings to gin's operative configuration, as a call would."""
    selector = gin.config._inverse_lookup(entry_point_function(entry_point)).selector
    with gin.config._OPERATIVE_CONFIG_LOCK:
        bound = gin.config._CONFIG.get(("", selector), {})
        gin.config._OPERATIVE_CONFIG.setdefault(("", selector), {}).update(bound)
