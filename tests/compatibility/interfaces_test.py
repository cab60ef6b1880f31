# SPDX-License-Identifier: Apache-2.0
"""Config paths, macros, flags and Python names against checked-in lists of upstream's.

The lists are `tests/testdata/upstream_*.txt`; they also say what is not here and why.
"""

import importlib
import inspect
import os
import pathlib
import subprocess
import sys

from absl import flags
from absl.testing import absltest, parameterized

from prompt_tuning.config import (
    aliases,
    friendly_flags,
    gin_checks,
    gin_files,
    gin_flags,
    process_flags,
)

_ROOT = pathlib.Path(os.path.abspath(__file__)).parents[2]
_LISTS = _ROOT / "tests" / "testdata"
_ENTRY_POINTS = {"train": "train", "eval": "evaluate", "infer": "infer"}


def _lines(name: str) -> list[str]:
    lines = (_LISTS / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _configs() -> dict[str, dict[str, str]]:
    """{path: {macro: default as text}}."""
    found: dict[str, dict[str, str]] = {}
    path = ""
    for line in _lines("upstream_configs.txt"):
        if line.startswith("  "):
            name, _, value = line.strip().partition(" = ")
            found[path][name] = value
        elif not line.startswith("-"):
            path = line
            found[path] = {}
    return found


def _flags() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in _lines("upstream_flags.txt"):
        if not line.startswith("-"):
            program, *names = line.split()
            found.setdefault(program, set()).update(names)
    return found


def _left_out(name: str) -> list[tuple[str, str]]:
    """(name, reason) of what the list says is not here."""
    entries = (line[2:].partition(": ") for line in _lines(name) if line.startswith("- "))
    return [(entry, reason) for entry, _, reason in entries]


class ConfigsTest(parameterized.TestCase):
    @parameterized.parameters(*_configs().items())
    def test_path_and_macros(self, path, expected):
        statements = gin_files.read([path], (), gin_flags.search_paths(["."]))
        macros = gin_checks.macros(statements)
        self.assertContainsSubset(expected, macros)
        for name, text in expected.items():
            value = macros[name].value
            if text == "REQUIRED":
                self.assertEqual(value, gin_files.REQUIRED, name)
            elif text != "*":
                self.assertEqual(repr(value), text, name)

    @parameterized.parameters(*_left_out("upstream_configs.txt"))
    def test_what_is_left_out_is_still_left_out(self, path, reason):
        self.assertNotEmpty(reason)
        with self.assertRaisesRegex(FileNotFoundError, "was not found"):
            gin_files.resolve(path, gin_flags.search_paths(["."]))

    def test_the_list_is_long_enough_to_mean_something(self):
        self.assertGreater(len(_configs()), 40)


class FlagsTest(parameterized.TestCase):
    @parameterized.parameters(*_ENTRY_POINTS)
    def test_programs(self, program):
        values = flags.FlagValues()
        gin_flags.define_flags(values)
        process_flags.define_flags(values)
        friendly_flags.define_flags(_ENTRY_POINTS[program], values)
        expected = _flags()[program]
        self.assertContainsSubset(expected, set(values))
        for name, _ in _left_out("upstream_flags.txt"):
            self.assertNotIn(name, values)

    @parameterized.parameters(*(set(_flags()) - set(_ENTRY_POINTS)))
    def test_tools(self, tool):
        done = subprocess.run(
            [sys.executable, str(_ROOT / "tools" / "checkpoints" / f"{tool}.py"), "--help"],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, sys.path[1:])]),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        for name in _flags()[tool]:
            self.assertRegex(done.stdout, rf"--(\[no\])?{name}:")


def _api() -> list[tuple[str, str, str]]:
    return [tuple(line.split(maxsplit=2)) for line in _lines("upstream_api.txt")]


class PythonNamesTest(parameterized.TestCase):
    @parameterized.parameters(*_api())
    def test_upstreams_import_statement(self, upstream, place, parameters):
        """As `from prompt_tuning.train import prompts`; there, train is a package."""
        del parameters
        module, _, name = upstream.rpartition(".")
        package, _, last = module.rpartition(".")
        scope = {}
        exec(f"from {package} import {last} as imported", scope)
        self.assertIs(
            getattr(scope["imported"], name), getattr(importlib.import_module(place), name)
        )

    def test_a_module_or_name_that_upstream_has_and_this_project_has_not(self):
        with self.assertRaisesRegex(ImportError, "cannot import name 'optm'"):
            exec("from prompt_tuning.train import optm")
        with self.assertRaisesRegex(ImportError, "cannot import name 'no_mask'"):
            exec("from prompt_tuning.masks import no_mask")

    @parameterized.parameters(*_api())
    def test_signature(self, upstream, place, parameters):
        """Upstream's parameters come first and in its order; what is added has a default."""
        module, _, name = upstream.rpartition(".")
        found = getattr(importlib.import_module(place), name)
        ours = [p for p in inspect.signature(found).parameters.values() if p.name != "self"]
        expected = parameters.split()
        for parameter, text in zip(ours, expected, strict=False):
            wanted, _, default = text.partition("=")
            self.assertEqual(parameter.name, wanted)
            if default:
                self.assertEqual(repr(parameter.default), default)
        self.assertGreaterEqual(len(ours), len(expected))
        for parameter in ours[len(expected) :]:
            self.assertIsNot(parameter.default, inspect.Parameter.empty, parameter.name)
        # Gin files use upstream's own name.
        target = aliases.TABLE[module][name]
        self.assertEqual(aliases.load(target).__name__, found.__name__)


if __name__ == "__main__":
    absltest.main()
