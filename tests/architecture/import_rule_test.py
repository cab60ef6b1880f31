# SPDX-License-Identifier: Apache-2.0
"""ARCHITECTURE.md's table of who may import whom, checked against every import in the sources."""

import ast
import os

from absl.testing import absltest, parameterized

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

# Layer -> layers whose modules it may import. A layer may always import itself.
ALLOWED = {
    # Its programs reach `runs` by the names that gin files bind.
    "prompt_tuning": {"config"},
    "runs": {
        "checkpoints",
        "config",
        "data",
        "inference",
        "partitioning",
        "prompts",
        "training",
    },
    "config": set(),
    "data": {"bundled", "config", "data_ops"},
    "inference": {"checkpoints", "data_ops", "models", "partitioning", "prompts"},
    "training": {"checkpoints", "models", "partitioning"},
    "partitioning": {"models"},
    "prompts": {"checkpoints", "models"},
    "bundled": set(),
    # Remakes the bundled model: a program of its own, like a run.
    "bundled.pretraining": {
        "bundled",
        "checkpoints",
        "data_ops",
        "models",
        "prompts",
        "training",
    },
    "models": {"array_ops"},
    "checkpoints": set(),
    "array_ops": set(),
    "data_ops": set(),
    "tools": {"checkpoints", "data_ops", "prompts"},
}
# Third-party packages that only these layers may import at all.
RESERVED = {
    "gin": {"config", "prompt_tuning"},
    "tensorflow": {"data"},
    "tensorflow_datasets": {"data"},
    "seqio": {"data"},
    "flax": {"bundled.pretraining", "models", "prompts", "training", "inference", "runs"},
}
# Files that are a door on purpose.
EXCEPTIONS = {
    ("data_ops/seqio_vocabulary.py", "seqio"),
    ("data_ops/seqio_vocabulary.py", "tensorflow"),
}


def layer_of(module):
    parts = module.split(".")
    if parts[0] == "prompt_tuning":
        if len(parts) > 1 and os.path.isdir(os.path.join(ROOT, "prompt_tuning", parts[1])):
            layer = ".".join(parts[1:3])
            return layer if layer in ALLOWED else parts[1]
        return "prompt_tuning"
    return parts[0] if parts[0] in ALLOWED else None


def sources():
    for top in ("array_ops", "data_ops", "prompt_tuning", "tools"):
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            for name in sorted(names):
                if name.endswith(".py") and not name.endswith("_test.py"):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def _runtime_nodes(tree):
    """Every node but those under `if TYPE_CHECKING`, which never runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _runtime_nodes(node)


def imports(path):
    """Every module that a file imports, wherever the statement stands."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        tree = ast.parse(file.read(), path)
    for node in _runtime_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class ImportRuleTest(parameterized.TestCase):
    def test_there_are_sources_to_check(self):
        found = list(sources())
        self.assertGreater(len(found), 40)
        self.assertIn("prompt_tuning/models/network.py", found)

    @parameterized.parameters(*ALLOWED)
    def test_layer_imports_only_what_it_may(self, layer):
        wrong = []
        for path in sources():
            if layer_of(path[:-3].replace(os.sep, ".")) != layer:
                continue
            for module in imports(path):
                target = layer_of(module)
                if target and target != layer and target not in ALLOWED[layer]:
                    wrong.append(f"{path} imports {module}")
        self.assertEqual(wrong, [])

    @parameterized.parameters(*ALLOWED)
    def test_what_a_layer_may_import_it_does(self, layer):
        used = {
            layer_of(module)
            for path in sources()
            if layer_of(path[:-3].replace(os.sep, ".")) == layer
            for module in imports(path)
        }
        self.assertEqual(ALLOWED[layer] - used, set())

    @parameterized.parameters(*RESERVED)
    def test_third_party_package_stays_behind_its_door(self, package):
        wrong = []
        for path in sources():
            layer = layer_of(path[:-3].replace(os.sep, "."))
            if layer in RESERVED[package] or (path, package) in EXCEPTIONS:
                continue
            if any(module.split(".")[0] == package for module in imports(path)):
                wrong.append(path)
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    absltest.main()
