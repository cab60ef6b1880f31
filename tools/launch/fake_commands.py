# SPDX-License-Identifier: Apache-2.0
"""A folder in which a generated script runs with stand-ins for the commands that leave the machine."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig

from absl.testing import absltest

from tools.launch import generate, launch_spec

HOSTILE = [
    "--plain=1",
    "",
    "two words",
    "'single' \"double\" `tick`",
    "$(touch pwned) ${lower} $HOME !! \\n",
    "a\nb\tc",
    "*.py ~ # ; & | > <",
    "--unicode=\u00e9\u2028\U0001f600",
]

# Notes the pause and makes it short.
_SLEEP = """#!/bin/sh
echo "$1" >> "${FAKE_DIR}/sleeps"
exec /bin/sleep 0.02
"""
# Nothing here may act as root. Processes listed in the file `holders` hold the TPU until they are
# killed; those of a file `stubborn` stay all the same.
_SUDO = """#!/bin/sh
echo "$*" >> "${FAKE_DIR}/sudo"
case "$1" in
  find) sed 's|.*|/proc/&/fd/7|' "${FAKE_DIR}/holders" 2> /dev/null ;;
  kill) [ -e "${FAKE_DIR}/stubborn" ] || rm -f "${FAKE_DIR}/holders" ;;
esac
exit 0
"""


class ScriptTest(absltest.TestCase):
    """Base of the tests that run scripts; `self.folder` holds all that a script may touch."""

    def setUp(self):
        super().setUp()
        self.folder = os.path.realpath(self.create_tempdir().full_path)
        os.mkdir(os.path.join(self.folder, "bin"))
        fake = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake_gcloud.py")
        self.command(
            "gcloud", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -E {shlex.quote(fake)} "$@"\n'
        )
        self.command("sleep", _SLEEP)
        self.command("sudo", _SUDO)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def command(self, name, text):
        os.chmod(self.write(os.path.join("bin", name), text), 0o755)

    def script(self, platform, accelerator, args=(), **attributes):
        """Generates a script and returns its path."""
        spec = launch_spec.Spec(
            "sst2", "//prompt_tuning:train", platform, accelerator, args, **attributes
        )
        return self.write("sst2.sh", generate.generate(spec))

    def environment(self, variables):
        """A bare environment: what the developer has set must not matter."""
        path = self.path("bin") + ":/usr/local/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": self.folder, "FAKE_DIR": self.folder} | variables

    def run_script(self, script, *arguments, **variables):
        """Runs the script to its end; returns code, stdout and stderr."""
        return subprocess.run(
            ["/bin/bash", script, *arguments],
            env=self.environment(variables),
            cwd=self.folder,
            input="typed ahead",
            capture_output=True,
            text=True,
            timeout=120,
        )

    def scenario(self, **parts):
        self.write("scenario.json", json.dumps(parts))

    def calls(self):
        """The argument lists of all calls of gcloud so far."""
        if not os.path.exists(self.path("calls.jsonl")):
            return []
        return [json.loads(line) for line in self.read("calls.jsonl").splitlines()]

    def actions(self):
        """The calls in short: "create", "describe", "ssh"..."""
        return [call[3] for call in self.calls()]

    def sleeps(self):
        return [int(line) for line in self.read("sleeps").split()]


def shellcheck(test):
    """The path of shellcheck, which the locked environment has on Linux on x86-64."""
    found = shutil.which("shellcheck", path=sysconfig.get_path("scripts")) or shutil.which(
        "shellcheck"
    )
    if not found:
        test.skipTest("shellcheck is not installed on this machine")
    return found


def parsed_lines(text):
    """Argument lists of the commands in `text`, one a line, read as bash reads them."""
    read = 'while IFS= read -r line; do eval "set -- ${line}"; printf "%s\\0" "$@"; printf "\\n\\0"; done'
    output = subprocess.run(["bash", "-c", read], input=text, capture_output=True, text=True)
    commands: list[list[str]] = []
    words: list[str] = []
    for word in output.stdout.split("\0")[:-1]:
        if word == "\n":
            commands.append(words)
            words = []
        else:
            words.append(word)
    return commands
