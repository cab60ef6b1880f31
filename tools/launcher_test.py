# SPDX-License-Identifier: Apache-2.0
"""tools/bazel on machines of every kind: each is a folder of stand-ins for the commands it has."""

import pathlib
import re
import shutil
import subprocess

from absl.testing import absltest, parameterized

_LAUNCHER = pathlib.Path(__file__).with_name("bazel")
# Of a real machine; everything else that is on the path is a stand-in.
_COMMANDS = (
    "awk",
    "cat",
    "dirname",
    "env",
    "find",
    "grep",
    "head",
    "readlink",
    "sort",
    "tail",
    "true",
)
# Places that the launcher knows by their path -> what stands for them in a test's folder.
_PLACES = {
    "/usr/local/bin": "local",
    "/usr/bin/python3": "system/python3",
    "/usr/bin;": "system;",
    "/usr/share/bazel": "share",
}
_PACKAGES = "bazel-bootstrap g++ python3-dev python3-venv"
# Notes how it is called. No shebang: the launcher tells binaries from scripts by it.
_BINARY = """: a binary
if [ "$1" = --version ]; then echo "bazel {version}"; exit; fi
for argument; do echo "$argument"; done > "{folder}/arguments"
echo "{name} in $PWD" > "{folder}/called"
exit 7
"""
_APT = """#!/bin/sh
[ "$(id -u)" = 0 ] || [ "$AS_ROOT" ] || exit 1
echo "apt-get $*" >&2
[ "$2" = install ] || exit 0
cp "{folder}/new_bazel" "{folder}/system/bazel-4"
"""


class LauncherTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path).resolve()
        for name in ("commands", "system", "local", "workspace/tools", "workspace/sub folder"):
            (self.folder / name).mkdir(parents=True)
        self.bash = shutil.which("bash")
        for name in _COMMANDS:
            (self.folder / "commands" / name).symlink_to(shutil.which(name))
        # The machine's own folders are those of this test.
        text = _LAUNCHER.read_text(encoding="utf-8")
        for place, stand_in in _PLACES.items():
            self.assertIn(place, text)
            text = text.replace(place, str(self.folder / stand_in))
        self.launcher = self.folder / "workspace/tools/bazel"
        self.launcher.write_text(text, encoding="utf-8")
        self.launcher.chmod(0o755)

    def command(self, name, text="#!/bin/sh\nexit 0\n", folder="commands"):
        path = self.folder / folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def bazel(self, name="bazel", version="4.2.3", folder="commands"):
        text = _BINARY.format(version=version, folder=self.folder, name=name)
        return self.command(name, text, folder)

    def debian(self, *, user=0, sudo=False, python=True, compiler=True):
        """A Debian with apt-get, which installs Bazel."""
        self.bazel("new_bazel", folder=".")
        self.command("apt-get", _APT.format(folder=self.folder))
        self.command("cp", f'#!/bin/sh\nexec {shutil.which("cp")} "$@"\n')
        self.command("dpkg-query")
        self.command("id", f"#!/bin/sh\necho {user}\n")
        if sudo:
            self.command("sudo", '#!/bin/sh\n[ "$1" = -n ] && shift\nexport AS_ROOT=1\nexec "$@"\n')
        if python:
            self.command("python3", folder="system")
        if compiler:
            self.command("g++")

    def launch(self, *arguments, where="workspace", **variables):
        return subprocess.run(
            [self.bash, str(self.launcher), *arguments],
            cwd=self.folder / where,
            env={"PATH": str(self.folder / "commands"), "HOME": str(self.folder)} | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def arguments(self):
        return (self.folder / "arguments").read_text(encoding="utf-8").splitlines()

    def called(self):
        return (self.folder / "called").read_text(encoding="utf-8").strip()

    def assert_one_line(self, result, pattern):
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Aerror: [^\n]+\n\Z")
        self.assertRegex(result.stderr, pattern)

    @parameterized.named_parameters(
        ("debian", "no_version", []),
        ("old", "4.2.3", []),
        ("seven", "7.7.1", ["--noenable_bzlmod"]),
        ("eight", "8.0.0", ["--noenable_bzlmod", "--enable_workspace"]),
    )
    def test_each_version_gets_the_flags_it_knows(self, version, flags):
        self.bazel(version=version)
        result = self.launch("--batch", "run", "//a:b", "--", "--x=a b", "", "*")
        self.assertEqual(result.returncode, 7, result.stderr)
        self.assertEqual(result.stderr, "")
        self.assertEqual(
            self.arguments(), ["--batch", "run", *flags, "//a:b", "--", "--x=a b", "", "*"]
        )

    def test_rule_sets_of_the_distribution_stand_for_downloads(self):
        self.bazel(version="7.7.1")
        (self.folder / "share/rules/cc").mkdir(parents=True)
        (self.folder / "share/tools/platforms").mkdir(parents=True)
        self.launch("build")
        self.assertEqual(
            self.arguments()[2:],
            [
                f"--override_repository=rules_cc={self.folder}/share/rules/cc",
                f"--override_repository=platforms={self.folder}/share/tools/platforms",
            ],
        )

    @parameterized.parameters(((),), (("clean", "--expunge"),), (("shutdown",),))
    def test_commands_that_build_nothing_get_no_flags(self, arguments):
        self.bazel(version="8.0.0")
        self.launch(*arguments)
        self.assertEqual(self.arguments(), list(arguments))

    def test_the_users_folder_stays_the_working_folder(self):
        self.bazel()
        self.launch("build", where="workspace/sub folder")
        self.assertEqual(self.called(), f"bazel in {self.folder}/workspace/sub folder")

    def test_bazelisk_comes_before_bazel(self):
        self.bazel()
        self.bazel("bazelisk", version="7.7.1")
        self.launch("build")
        # Its text names Bazelisk, which calls tools/bazel again: no flags yet.
        self.assertEqual((self.arguments(), self.called()[:9]), (["build"], "bazelisk "))

    def test_a_wrapper_script_is_left_to_call_this_again(self):
        self.bazel("bazel-7.7.1", version="7.7.1", folder="system")
        self.command(
            "bazel",
            "#!/bin/sh\n"
            f'[ -z "$BAZEL_REAL" ] || exit 9\nexport BAZEL_REAL="{self.folder}/none"\n'
            f'exec {self.bash} "{self.launcher}" "$@"\n',
        )
        result = self.launch("build", "//a")
        self.assertEqual(result.returncode, 7, result.stderr)
        self.assertEqual(self.arguments(), ["build", "--noenable_bzlmod", "//a"])

    def test_as_workspace_wrapper_it_runs_the_binary_it_is_given(self):
        real = self.bazel("downloaded", version="7.7.1", folder="workspace")
        self.bazel()
        self.launch("test", "//...", BAZEL_REAL=str(real))
        self.assertStartsWith(self.called(), "downloaded ")
        self.assertEqual(self.arguments(), ["test", "--noenable_bzlmod", "//..."])

    def test_a_link_to_itself_is_not_bazel(self):
        (self.folder / "commands/bazel").symlink_to(self.launcher)
        self.bazel("bazel-4", folder="system")
        self.launch("build")
        self.assertStartsWith(self.called(), "bazel-4 ")

    def test_the_newest_of_several_binaries(self):
        for version in ("4.2.3", "7.7.1", "10.0.0"):
            self.bazel(f"bazel-{version}", version=version, folder="local")
        self.launch("build")
        self.assertStartsWith(self.called(), "bazel-10.0.0 ")

    def test_says_what_it_installs_before_it_does(self):
        self.debian()
        result = self.launch("build", "//a")
        self.assertEqual(result.returncode, 7, result.stderr)
        self.assertEqual(
            result.stderr.splitlines(),
            [
                f"tools/bazel: installing {_PACKAGES} with apt-get (once)",
                "apt-get -qq update",
                f"apt-get -qq install -y --no-install-recommends {_PACKAGES}",
            ],
        )
        self.assertEqual(self.launch("build", "//a").stderr, "", "It installs once.")

    def test_sudo_where_it_asks_no_password(self):
        self.debian(user=1000, sudo=True)
        result = self.launch("build", "//a")
        self.assertEqual(result.returncode, 7, result.stderr)
        self.assertIn(f"install -y --no-install-recommends {_PACKAGES}", result.stderr)

    def test_says_what_to_install_where_it_may_not(self):
        self.debian(user=1000)
        self.assert_one_line(
            self.launch("build"), re.escape(f"run: sudo apt-get install {_PACKAGES}")
        )

    def test_says_what_to_install_where_there_is_no_apt(self):
        result = self.launch("build")
        self.assert_one_line(
            result, r"install Bazelisk, a C\+\+17 compiler and Python 3.11 to 3.13"
        )

    @parameterized.named_parameters(
        ("compiler", {"compiler": False}, "g++"),
        ("python", {"python": False}, "python3 python3-dev python3-venv"),
    )
    def test_installs_only_what_is_missing(self, machine, packages):
        self.debian(**machine)
        self.bazel()
        result = self.launch("build")
        self.assertIn(f"tools/bazel: installing {packages} with apt-get (once)\n", result.stderr)
        self.assertStartsWith(self.called(), "bazel ")

    def test_a_python_that_the_user_names_is_not_replaced(self):
        self.debian(python=False)
        self.bazel()
        self.assertEqual(self.launch("build", PROMPT_TUNING_PYTHON="/opt/python").stderr, "")

    @parameterized.parameters("update", "install")
    def test_a_failing_apt_is_one_sentence(self, step):
        self.debian()
        self.command("apt-get", f'#!/bin/sh\n[ "$2" != {step} ]\n')
        result = self.launch("build")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, rf"\Atools/bazel: .*\nerror: apt-get {step} .*\n\Z")


if __name__ == "__main__":
    absltest.main()
