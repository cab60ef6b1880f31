# SPDX-License-Identifier: Apache-2.0
"""Writes a launch script or a manifest from the attributes of one `pod_launch` target.

    generate --spec='{"name": ..., "platform": "tpu", ...}' > script.sh

Standard library only. `${NAME}` with a capital name inside an argument stands for a variable that
the user sets when launching; everything else in an argument is literal, `$(...)` included.
"""

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tools.launch import accelerators, jobset, launch_spec

_TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")
_SETTINGS_MARK = "#@settings\n"
_INCLUDE = re.compile(r"#@include (?P<name>\w+\.sh)\n")


def _single_quoted(text: str) -> str:
    """Quoted even where bash does not need it, so that a linter sees no list in a,b."""
    return "'" + text.replace("'", "'\\''") + "'"


def bash_word(argument: str) -> str:
    """`argument` as one bash word in which only its variables expand."""
    words = [
        f'"${{{part.text}}}"' if part.is_variable else _single_quoted(part.text)
        for part in launch_spec.parts(argument)
    ]
    return "".join(words) or "''"


def _common_settings(spec: launch_spec.Spec) -> list[str]:
    uses = "".join(f"[{name}]={shlex.quote(use)} " for name, use in spec.variables.items())
    return [
        f"launch_name={spec.name}",
        f"binary={spec.binary}",
        f"binary_path={spec.binary_path}",
        f"run_variables=({' '.join(spec.variables)})",
        f"declare -A variable_uses=({uses.strip()})",
        "# The flags of the binary. Only variables expand; all else is literal.",
        "# shellcheck disable=SC2016",
        "set_arguments() {",
        "  arguments=(",
        *(f"    {bash_word(argument)}" for argument in spec.args),
        "  )",
        "}",
    ]


class _Script(NamedTuple):
    """A template, the values of the `@name@` in its head, and the settings for its mark."""

    template: str
    head: Mapping[str, Any]
    settings: Sequence[str]


def _tpu_script(spec: launch_spec.Spec) -> _Script:
    found = accelerators.find(spec.accelerator)
    spec.check_workers(found.hosts)
    settings = [
        f"accelerator={found.name}",
        f"workers={found.hosts}",
        f"chips={found.chips}",
        f"default_version={shlex.quote(spec.version or found.runtime_version)}",
        f"default_zone={shlex.quote(spec.zone or '')}",
    ]
    return _Script("tpu_vm.sh", {"name": spec.name}, settings)


def _slurm_script(spec: launch_spec.Spec) -> _Script:
    gpus = accelerators.find_gpus(spec.accelerator)
    if not spec.workers:
        raise ValueError("platform slurm needs the attribute workers: the number of nodes")
    for name in ("zone", "version"):
        if getattr(spec, name):
            raise ValueError(f"{name}={getattr(spec, name)!r} means nothing to Slurm; remove it")
    kind = f"{gpus.type}:" if gpus.type else ""
    head = {
        "name": spec.name,
        "workers": spec.workers,
        "gpus": gpus.count,
        "gres": f"gpu:{kind}{gpus.count}",
    }
    return _Script("slurm.sh", head, [f"workers={spec.workers}", f"gpus={gpus.count}"])


def _template(name: str) -> str:
    """The text of a template with its includes in place; those come without their own heads."""
    with open(os.path.join(_TEMPLATES, name), encoding="utf-8") as file:
        text = file.read()
    return _INCLUDE.sub(lambda match: _template(match["name"]).split("\n\n", 1)[1], text)


def _filled(script: _Script, common_settings: Sequence[str]) -> str:
    head, _, body = _template(script.template).partition(_SETTINGS_MARK)
    for name, value in script.head.items():
        head = head.replace(f"@{name}@", str(value))
    return head + "\n".join([*common_settings, *script.settings]) + "\n" + body


def generate(spec: launch_spec.Spec) -> str:
    """The text of the script (`tpu`, `slurm`) or of the manifest (`jobset`).

    Raises:
        ValueError: an attribute that cannot be, and which one to change.
    """
    if spec.platform == "jobset":
        return jobset.manifest(spec)
    script = {"tpu": _tpu_script, "slurm": _slurm_script}[spec.platform](spec)
    return _filled(script, _common_settings(spec))


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Writes a launch script to standard output.")
    parser.add_argument("--spec", required=True, help="attributes of pod_launch as JSON")
    try:
        attributes: dict[str, Any] = json.loads(parser.parse_args(argv).spec)
        sys.stdout.write(generate(launch_spec.Spec.from_attributes(attributes)))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
