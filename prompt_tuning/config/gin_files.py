# SPDX-License-Identifier: Apache-2.0
"""What gin files and command-line bindings say, read without importing anything they name.

gin itself learns what a name means by importing it, which for these configurations means JAX. This
reader stops at the text: it resolves files and includes, and keeps every import and binding with
its place. `gin_checks` finds mistakes in that. It deliberately does not know what any module, macro
or argument means.
"""

import dataclasses
import difflib
import os
import pathlib
import re
import tokenize
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gin import config_parser

REPOSITORY_ROOT = pathlib.Path(__file__).absolute().parent.parent.parent
CONFIGS = REPOSITORY_ROOT / "prompt_tuning" / "configs"

# T5X's own include paths (`t5x/configs/runs/...`) are below CONFIGS.
DEFAULT_SEARCH_PATHS = (str(REPOSITORY_ROOT), str(CONFIGS))


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a statement stands; `file` is None for a binding of the command line."""

    file: str | None
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else "the command line"


@dataclasses.dataclass(frozen=True)
class MacroReference:
    """`%NAME` inside a value."""

    name: str


@dataclasses.dataclass(frozen=True)
class ConfigurableReference:
    """`@scope/module.name`, or with `called` `@scope/module.name()`, inside a value."""

    selector: str
    scope: str = ""
    called: bool = False


REQUIRED = MacroReference("gin.REQUIRED")


@dataclasses.dataclass(frozen=True)
class Selector:
    """A name of a configurable, resolved by the imports of its file.

    Attributes:
        text: as written.
        module: what the import of its first component names; "" on the command line.
        full: the first component replaced by the module that the import names; equal for the same
            thing in any file. On the command line, where nothing is imported, equal to `text`.
        registered: what gin registers it as: like `full`, but an import's alias replaces the last
            component of the module. Command-line bindings are matched against this.
    """

    text: str
    module: str
    full: str
    registered: str


@dataclasses.dataclass(frozen=True)
class Import:
    """One import of a file."""

    module: str
    place: Place


@dataclasses.dataclass(frozen=True)
class Binding:
    """`scope/selector.argument = value`; a macro has its name as `selector` and no `argument`.

    `references` are the configurables that the value refers to.
    """

    scope: str
    selector: Selector
    argument: str
    value: Any
    place: Place
    references: tuple[Selector, ...] = ()

    @property
    def is_macro(self) -> bool:
        return not self.argument

    @property
    def name(self) -> str:
        """As the user writes it: `MODEL_DIR`, or `train/utils.DatasetConfig.batch_size`."""
        scope = f"{self.scope}/" if self.scope else ""
        return scope + self.selector.text + (f".{self.argument}" if self.argument else "")

    @property
    def key(self) -> tuple[str, str, str]:
        """Equal for bindings that override each other."""
        return (self.scope, self.selector.full, self.argument)


@dataclasses.dataclass(frozen=True)
class Statements:
    """Everything the files and then the command line say, in the order gin will execute it."""

    imports: list[Import] = dataclasses.field(default_factory=list)
    bindings: list[Binding] = dataclasses.field(default_factory=list)
    files: list[str] = dataclasses.field(default_factory=list)


class _TextDelegate(config_parser.ParserDelegate):
    """Keeps references as names instead of looking them up."""

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> Any:
        scope, _, selector = scoped_configurable_name.rpartition("/")
        return ConfigurableReference(selector, scope, evaluate)

    def macro(self, macro_name: str) -> Any:
        return MacroReference(macro_name)


def flatten(value: Any) -> Iterator[Any]:
    """Yields the leaves of a value of nested lists, tuples and dictionaries, keys included."""
    if isinstance(value, dict):
        for item in value.items():
            yield from flatten(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from flatten(item)
    else:
        yield value


def shipped_files() -> list[str]:
    """The gin files of this project, as `--gin_file` takes them (`prompt_tuning/configs/...`)."""
    return sorted(str(path.relative_to(REPOSITORY_ROOT)) for path in CONFIGS.rglob("*.gin"))


def resolve(name: str, search_paths: Sequence[str]) -> str:
    """Finds a gin file as gin does: as it is, else below each of `search_paths` in order.

    Raises:
      FileNotFoundError: no such file; the message has the nearest known names and the places tried.
    """
    places = [""] if os.path.isabs(name) else ["", *search_paths]
    for place in places:
        path = os.path.join(place, name)
        if os.path.isfile(path):
            return path
    known = shipped_files()
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    base = os.path.basename(name)
    near += [path for path in known if os.path.basename(path) == base and path not in near]
    hint = f"; did you mean {' or '.join(near[:3])}?" if near else ""
    tried = ", ".join(dict.fromkeys(os.path.abspath(place) for place in places))
    raise FileNotFoundError(
        f"gin file {name!r} was not found below {tried}{hint} "
        "(flags --gin_file, --gin_search_paths)"
    )


# How Python's own parser speaks of a value before gin says which.
_NODE = re.compile(r"malformed node or string[^:]*: <[^>]*>\s*")


def _syntax_error(error: SyntaxError, text: str | None = None) -> ValueError:
    """One sentence for a mistake of spelling, with the place or, for the command line, the text."""
    reason = _NODE.sub("", str(error.msg).strip().rstrip(".").replace("\n", " "))
    if text is None:
        return ValueError(f"gin syntax error at {error.filename}:{error.lineno}: {reason}")
    name, _, value = (part.strip() for part in text.partition("="))
    if reason.startswith("EOF in multi-line"):
        return ValueError(
            f"gin cannot read the binding {text!r} ({reason}); a bracket or brace in it is not "
            f"closed: --gin.{name}."
        )
    return ValueError(
        f"gin cannot read the binding {text!r} ({reason}); text needs quotes inside the shell's: "
        f"--gin.{name}=\"'{value}'\""
    )


def _resolver(imports: dict[str, tuple[str, str]]) -> Callable[[str], Selector]:
    """Resolves selectors by `{name that an import binds: (module, registered module)}`."""

    def resolved(text: str) -> Selector:
        first, dot, rest = text.partition(".")
        module, registered = imports.get(first, ("", first))
        return Selector(text, module, (module or first) + dot + rest, registered + dot + rest)

    return resolved


def _parsed(source: Any, path: str | None) -> Iterator[Any]:
    """gin's statements; an open bracket or quote is a SyntaxError like any other."""
    try:
        yield from config_parser.ConfigParser(source, _TextDelegate())
    except tokenize.TokenError as error:
        reason, (line, column) = error.args
        raise SyntaxError(reason, (path, line, column, None)) from None


class _Reader:
    """Walks files and includes; as in gin, an import holds for the file it stands in."""

    def __init__(self, search_paths: Sequence[str]):
        self.search_paths = search_paths
        self.statements = Statements()

    def read_file(self, name: str, open_files: tuple[str, ...] = ()) -> None:
        path = resolve(name, self.search_paths)
        if path in open_files:
            raise ValueError(f"gin file {name} includes itself through {' -> '.join(open_files)}")
        self.statements.files.append(path)
        try:
            with open(path, encoding="utf-8") as file:
                self._read(file, path, open_files + (path,))
        except SyntaxError as error:
            raise _syntax_error(error) from None
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not a gin file: byte {error.start} is not UTF-8 text (flag --gin_file)"
            ) from None

    def read_text(self, text: str) -> None:
        try:
            self._read(text, None, ())
        except SyntaxError as error:
            raise _syntax_error(error, text) from None

    def _read(self, source: Any, path: str | None, open_files: tuple[str, ...]) -> None:
        imports: dict[str, tuple[str, str]] = {}
        resolved = _resolver(imports)
        for statement in _parsed(source, path):
            place = Place(path, statement.location.line_num)
            if isinstance(statement, config_parser.IncludeStatement):
                self.read_file(statement.filename, open_files)
            elif isinstance(statement, config_parser.ImportStatement):
                plain = not statement.is_from and not statement.alias
                module = statement.module.split(".")[0] if plain else statement.module
                imports[statement.bound_name()] = (module, statement.partial_path())
                if not statement.module.startswith("__gin__"):
                    self.statements.imports.append(Import(statement.module, place))
            elif isinstance(statement, config_parser.BindingStatement):
                self.statements.bindings.append(_binding(statement, place, resolved))


def _binding(
    statement: config_parser.BindingStatement, place: Place, resolved: Callable[[str], Selector]
) -> Binding:
    references = tuple(
        resolved(leaf.selector)
        for leaf in flatten(statement.value)
        if isinstance(leaf, ConfigurableReference)
    )
    name = statement.selector
    return Binding(
        scope=statement.scope or "",
        selector=resolved(name) if statement.arg_name else Selector(name, "", name, name),
        argument=statement.arg_name or "",
        value=statement.value,
        place=place,
        references=references,
    )


def read(
    files: Sequence[str],
    bindings: Sequence[str] = (),
    search_paths: Sequence[str] = DEFAULT_SEARCH_PATHS,
) -> Statements:
    """Reads gin files in order, then bindings such as `BATCH_SIZE = 32`.

    Raises:
      FileNotFoundError: a file or an include that is not there.
      ValueError: a syntax error, with file and line or the binding's text; an include circle.
    """
    reader = _Reader(search_paths)
    for name in files:
        reader.read_file(name)
    for text in bindings:
        reader.read_text(text)
    return reader.statements
