# SPDX-License-Identifier: Apache-2.0
"""The arguments of this project's functions and classes, read from their source without importing it.

gin asks Python for a signature, which needs the import of JAX. A misspelt argument is worth telling
before that. Where the text does not settle what is accepted, the answer is "unknown", never a guess.
"""

import ast
import functools
import pathlib
from collections.abc import Iterable, Sequence

from prompt_tuning.config import aliases, gin_checks, gin_files, spelling

# Fields that Flax gives every module.
_FLAX_MODULE = ("parent", "name")
_Definition = ast.FunctionDef | ast.ClassDef
_Tree = dict[str, _Definition]


def check_arguments(statements: gin_files.Statements) -> None:
    """Raises ValueError for the first binding of an argument that its configurable does not have."""
    known = {
        selector.registered: selector
        for binding in statements.bindings
        for selector in (binding.selector, *binding.references)
        if binding.place.file and selector.module
    }
    for binding in statements.bindings:
        if binding.is_macro:
            continue
        text = binding.selector.text
        found = [s for name, s in known.items() if gin_checks.ends_with(name, text)]
        if binding.selector.module:
            found = [binding.selector]
        if not found:
            continue
        names = arguments(found[0].module, found[0].full[len(found[0].module) + 1 :])
        if names is not None and binding.argument not in names:
            near = spelling.nearest(binding.argument, names)
            raise ValueError(
                f"{binding.place}: {text!r} has no parameter named {binding.argument!r}{near} (it has "
                f"{', '.join(names)})"
            )


def arguments(module: str, name: str) -> tuple[str, ...] | None:
    """The arguments of `module.name` as gin files know it.

    Args:
        module: of the alias table, `__main__`, or one of this project's.
        name: a function, a class, or a method `Class.method`.

    Returns:
        None where they cannot be told from the text.
    """
    first, _, method = name.partition(".")
    table = aliases.ENTRY_POINTS if module == "__main__" else aliases.TABLE.get(module, {})
    if first in table:
        module, _, first = table[first].partition(":")
    tree, imported = _definitions(module), _imported(module)
    if first not in tree and first in imported:
        return arguments(imported[first], name)
    node = tree.get(first)
    if node is not None and method:
        node = _named(node.body).get(method) if isinstance(node, ast.ClassDef) else None
    if isinstance(node, ast.FunctionDef):
        return _of_function(node, skip_first=bool(method))
    return _of_class(node, tree) if isinstance(node, ast.ClassDef) else None


@functools.cache
def _statements(module: str) -> list[ast.stmt]:
    """Top-level statements of one of this project's modules; none for another."""
    if module.split(".")[0] not in ("prompt_tuning", "data_ops"):
        return []
    path = pathlib.Path(gin_files.REPOSITORY_ROOT, *module.split(".")).with_suffix(".py")
    return ast.parse(path.read_text("utf-8")).body if path.is_file() else []


def _definitions(module: str) -> _Tree:
    return _named(_statements(module))


def _imported(module: str) -> dict[str, str]:
    """{name: module that it is from}, of names that are kept: `from m import X`, `X = m.X`."""
    names = {
        alias.name: node.module
        for node in _statements(module)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.asname in (None, alias.name)
    }
    for node in _statements(module):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
            owner, name = ast.unparse(node.value.value), node.value.attr
            if owner in names and [ast.unparse(target) for target in node.targets] == [name]:
                names[name] = f"{names[owner]}.{owner}"
    return names


def _named(nodes: Iterable[ast.stmt]) -> _Tree:
    return {node.name: node for node in nodes if isinstance(node, _Definition)}


def _of_function(node: ast.FunctionDef, skip_first: bool) -> tuple[str, ...] | None:
    if node.args.kwarg or any(not _is_plain(d) for d in node.decorator_list):
        return None
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)][int(skip_first) :]
    return (*names, *(a.arg for a in node.args.kwonlyargs))


def _is_plain(decorator: ast.expr) -> bool:
    """Whether a decorator leaves the signature as it is."""
    return ast.unparse(decorator).split("(")[0] in ("dataclasses.dataclass", "functools.cache")


def _of_class(node: ast.ClassDef, tree: _Tree) -> tuple[str, ...] | None:
    init = _named(node.body).get("__init__")
    if isinstance(init, ast.FunctionDef):
        return _of_function(init, skip_first=True)
    inherited: Sequence[str] = ()
    for base in map(ast.unparse, node.bases):
        if base in ("nn.Module", "linen.Module"):
            inherited = (*inherited, *_FLAX_MODULE)
            continue
        parent = tree.get(base)
        names = _of_class(parent, tree) if isinstance(parent, ast.ClassDef) else None
        if names is None:
            return None
        inherited = (*inherited, *names)
    if any(not _is_plain(decorator) for decorator in node.decorator_list):
        return None
    if not node.bases and not node.decorator_list:
        return None
    fields = [ast.unparse(n.target) for n in node.body if isinstance(n, ast.AnnAssign)]
    own = [name for name in dict.fromkeys((*inherited, *fields)) if name not in _FLAX_MODULE]
    return (*own, *(name for name in _FLAX_MODULE if name in inherited))
