# SPDX-License-Identifier: Apache-2.0
"""@python: a virtual environment made from a hash-locked list, as Bazel's Python tool chain.

Every py_binary and py_test then runs in that environment, so third-party packages need no Bazel labels and runfiles
stay small. The environment is made once; only a change of the lock file, or of the accelerator that `--config=tpu` or
`--config=cuda` names, makes it anew.
"""

_MINIMUM = [3, 11]
_MAXIMUM = [3, 13]

# Build backends of the source distributions in the lock, installed before everything else.
_BUILDERS = ["cython", "pdm-backend", "setuptools", "wheel"]

_BUILD = """# SPDX-License-Identifier: Apache-2.0
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

exports_files(["venv/bin/python3"])

py_runtime(
    name = "runtime",
    interpreter_path = "{interpreter}",
    stub_shebang = "#!/usr/bin/env python3",
    python_version = "PY3",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)

cc_library(
    name = "headers",
    hdrs = glob(["include/**"]),
    includes = ["include"],
)

cc_library(
    name = "pybind11",
    hdrs = glob(["pybind11_include/**"]),
    includes = ["pybind11_include"],
    deps = [":headers"],
)
"""

def _run(rctx, arguments, problem, timeout = 3600):
    result = rctx.execute(arguments, timeout = timeout, quiet = True)
    if result.return_code != 0:
        lines = [line.strip() for line in (result.stdout + "\n" + result.stderr).split("\n") if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["it printed nothing"]
        fail("{} ({})".format(problem, errors[0]))
    return result.stdout

def _inspect(rctx, python):
    script = rctx.path(rctx.attr.inspector)
    return json.decode(_run(rctx, [python, script], "Python at {} does not start.".format(python)))

def _find_python(rctx):
    wanted = rctx.os.environ.get("PROMPT_TUNING_PYTHON", "")
    candidates = [wanted] if wanted else ["/usr/bin/python3", "python3", "python3.13", "python3.12", "python3.11"]
    tried = []
    for name in candidates:
        path = name if name.startswith("/") else rctx.which(name)
        if not path or rctx.execute([path, "-c", "0"]).return_code != 0:
            continue
        facts = _inspect(rctx, path)
        if facts["version"] < _MINIMUM or facts["version"] > _MAXIMUM:
            tried.append("{} is {}.{}".format(path, *facts["version"]))
            continue
        version = "{}.{}".format(*facts["version"])
        missing = []
        if not facts["has_venv"]:
            missing.append("python{}-venv".format(version))
        if not facts["has_headers"]:
            missing.append("python{}-dev".format(version))
        if missing:
            tried.append("{} lacks {p} (install with: sudo apt-get install {p})".format(path, p = " ".join(missing)))
            continue
        return path
    fail("No usable Python {}.{} to {}.{}: {}. Install one, or name it in PROMPT_TUNING_PYTHON.".format(
        _MINIMUM[0],
        _MINIMUM[1],
        _MAXIMUM[0],
        _MAXIMUM[1],
        "; ".join(tried) or "none of {} was found".format(", ".join(candidates)),
    ))

def _entries(lock):
    """Splits a lock file into {name: its lines}."""
    entries, lines = {}, []
    for line in lock.split("\n"):
        if not line or line.startswith("#"):
            continue
        lines.append(line)
        if not line.endswith("\\"):
            name = lines[0].split("==")[0].strip()
            entries[name] = entries.get(name, []) + lines
            lines = []
    return entries

def _install(rctx, python, requirements, extra, what):
    rctx.report_progress("installing " + what)
    arguments = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
    arguments += ["--require-hashes", "--no-build-isolation", "-r", requirements] + extra
    _run(rctx, arguments, "pip could not install {}; is the Python package index reachable?".format(what))

def _accelerator_lock(rctx):
    """The label of what the accelerator adds to the lock, or None for the CPU alone."""
    wanted = rctx.os.environ.get("PROMPT_TUNING_ACCELERATOR", "")
    if not wanted:
        return None
    found = [label for label, name in rctx.attr.accelerator_locks.items() if name == wanted]
    if not found:
        fail("PROMPT_TUNING_ACCELERATOR is {}; accepted are {}, or nothing for the CPU. Use --config.".format(
            repr(wanted),
            ", ".join(sorted(rctx.attr.accelerator_locks.values())),
        ))
    return found[0]

def _python_environment_impl(rctx):
    lock = rctx.path(rctx.attr.lock)
    accelerator_lock = _accelerator_lock(rctx)
    python = _find_python(rctx)
    rctx.report_progress("making the virtual environment")
    _run(rctx, [python, "-m", "venv", "venv"], "`{} -m venv` failed.".format(python))
    interpreter = rctx.path("venv/bin/python3")

    # Source distributions in the lock are built by these and by nothing from outside the lock.
    entries = _entries(rctx.read(lock))
    builders = [line for name in _BUILDERS for line in entries.get(name, [])]
    rctx.file("builders.txt", "\n".join(builders) + "\n", executable = False)
    _install(rctx, interpreter, "builders.txt", [], "what builds source distributions")
    _install(rctx, interpreter, lock, [], "the locked Python packages (about 0.6 GB, one to three minutes)")
    if accelerator_lock:
        _install(rctx, interpreter, rctx.path(accelerator_lock), [], "what the accelerator needs (0.7 to 5 GB)")

    facts = _inspect(rctx, interpreter)
    rctx.symlink(facts["include"], "include")
    rctx.symlink(facts["pybind11_include"], "pybind11_include")
    rctx.file("BUILD", _BUILD.format(interpreter = interpreter), executable = False)

python_environment = repository_rule(
    implementation = _python_environment_impl,
    attrs = {
        "accelerator_locks": attr.label_keyed_string_dict(
            allow_files = True,
            doc = "What each accelerator adds to the lock: {lock: name}.",
        ),
        "inspector": attr.label(allow_single_file = True, mandatory = True),
        "lock": attr.label(allow_single_file = True, mandatory = True),
    },
    environ = [
        "PROMPT_TUNING_ACCELERATOR",
        "PROMPT_TUNING_PYTHON",
    ],
    doc = "Makes a virtual environment from a hash-locked requirements file and wraps it as a Python tool chain.",
)
