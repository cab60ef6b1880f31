# SPDX-License-Identifier: Apache-2.0
"""What an entry point will be given, as far as the text of gin files tells it without JAX.

The classes of settings check themselves when they are made, and gin makes them after it has
imported everything that its files name. Here they are made from the text first, so that what they
complain about is told at once. What needs heavy imports is left out: a check that is missing here
is made later, never wrongly.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from prompt_tuning.config import aliases, gin_checks, gin_files

# Modules that import neither JAX nor TensorFlow; what is in others is not made.
_LIGHT = ("prompt_tuning.config.", "prompt_tuning.bundled.bundled:", "data_ops.vocabulary:")


class _Unknown:
    """A value that the text does not settle."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
Arguments = dict[str, Any]


class EarlySettings:
    """The final bindings of some statements, and values made of them."""

    def __init__(self, statements: gin_files.Statements):
        """Makes nothing yet."""
        self._macros = gin_checks.macros(statements)
        self._known = {
            selector.registered: selector
            for binding in statements.bindings
            for selector in (binding.selector, *binding.references)
            if binding.place.file and selector.module
        }
        self._open: set[str] = set()
        # {(scope, target): {argument: binding}}, the last one of each.
        self._bound: dict[tuple[str, str], dict[str, gin_files.Binding]] = {}
        for binding in statements.bindings:
            target = None if binding.is_macro else self._target(binding.selector)
            if target:
                self._bound.setdefault((binding.scope, target), {})[binding.argument] = binding

    def arguments(self, target: str, scope: str = "") -> Arguments:
        """What is bound to `target`, without what is UNKNOWN.

        Args:
            target: "module:name" as in the alias table.
            scope: of gin; bindings without a scope hold in every one.

        Raises:
            ValueError: a class of settings refuses its values.
        """
        bindings = dict(self._bound.get(("", target), {}))
        bindings |= self._bound.get((scope, target), {})
        values = {name: self._value(binding, scope) for name, binding in bindings.items()}
        return {name: value for name, value in values.items() if value is not UNKNOWN}

    def scopes(self, target: str) -> list[str]:
        """The scopes in which something is bound to `target`; "" is that of plain bindings."""
        return [scope for scope, bound in self._bound if bound == target]

    def entry_point(self, entry_point: str) -> Arguments:
        """The arguments of "train", "evaluate" or "infer"; ValueError as `arguments`."""
        return self.arguments(aliases.ENTRY_POINTS[entry_point])

    def macro(self, name: str) -> Any:
        """The value of a macro, or UNKNOWN."""
        if name not in self._macros or name in self._open:
            return UNKNOWN
        self._open.add(name)
        try:
            return self._value(self._macros[name], "")
        finally:
            self._open.remove(name)

    def make(self, target: str, scope: str = "") -> Any:
        """Calls `target` with what is bound to it, if that needs no heavy import; else UNKNOWN."""
        if not target.startswith(_LIGHT):
            return UNKNOWN
        function, arguments = aliases.load(target), self.arguments(target, scope)
        try:
            inspect.signature(function).bind(**arguments)
        except TypeError:
            return UNKNOWN  # An argument that it must have is UNKNOWN.
        return function(**arguments)

    def _target(self, selector: gin_files.Selector) -> str | None:
        if not selector.module:
            found = [
                known
                for name, known in self._known.items()
                if gin_checks.ends_with(name, selector.text)
            ]
            if not found:
                return None
            selector = found[0]
        module, name = selector.module, selector.full[len(selector.module) + 1 :]
        table: Mapping[str, str] = aliases.TABLE.get(module, {})
        if module == "__main__":
            table = aliases.ENTRY_POINTS
        return table.get(name, f"{module}:{name}")

    def _value(self, binding: gin_files.Binding, scope: str) -> Any:
        targets = {s.text: self._target(s) for s in binding.references}
        return self._resolved(binding.value, targets, scope)

    def _resolved(self, value: Any, targets: Mapping[str, str | None], scope: str) -> Any:
        if isinstance(value, gin_files.MacroReference):
            return self.macro(value.name)
        if isinstance(value, gin_files.ConfigurableReference):
            target, inner = targets[value.selector], value.scope or scope
            if target is None:
                return UNKNOWN
            if value.called:
                return self.make(target, inner)
            known = target.startswith(_LIGHT)
            return functools.partial(self.make, target, inner) if known else UNKNOWN
        if isinstance(value, dict):
            items = [self._resolved(list(item), targets, scope) for item in value.items()]
            return UNKNOWN if any(item is UNKNOWN for item in items) else dict(items)
        if isinstance(value, list | tuple):
            return self._sequence(value, targets, scope)
        return value

    def _sequence(self, value: list[Any] | tuple[Any, ...], targets, scope: str) -> Any:
        items = [self._resolved(item, targets, scope) for item in value]
        return UNKNOWN if any(item is UNKNOWN for item in items) else type(value)(items)
