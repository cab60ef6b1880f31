# SPDX-License-Identifier: Apache-2.0
"""@benchmark_peers: the tokenizers to compare with, in a virtual environment of their own.

Their sentencepiece is another release than ours, so they cannot share @python. Bazel fetches the environment only when
a target that names it is built: the benchmarks, nothing else.
"""

_BUILD = """# SPDX-License-Identifier: Apache-2.0
# Where the environment's interpreter is. A runfiles link to it would not find the environment.
exports_files(["python_path.txt"])
"""

def _run(rctx, arguments, problem):
    result = rctx.execute(arguments, timeout = 1800, quiet = True)
    if result.return_code != 0:
        lines = [line for line in (result.stdout + "\n" + result.stderr).split("\n") if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["it printed nothing"]
        fail("{} ({})".format(problem, errors[0]))

def _benchmark_peers_impl(rctx):
    python = rctx.path(rctx.attr.python)
    lock = rctx.path(rctx.attr.lock)
    rctx.report_progress("installing the tokenizers to compare with")
    _run(rctx, [python, "-m", "venv", "venv"], "`{} -m venv` failed.".format(python))
    interpreter = rctx.path("venv/bin/python3")
    install = [interpreter, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
    install += ["--only-binary", ":all:", "--require-hashes", "-r", lock]
    _run(rctx, install, "pip could not install the benchmark's peers; is the Python package index reachable?")
    rctx.file("python_path.txt", str(interpreter) + "\n", executable = False)
    rctx.file("BUILD", _BUILD, executable = False)

benchmark_peers = repository_rule(
    implementation = _benchmark_peers_impl,
    attrs = {
        "lock": attr.label(allow_single_file = True, mandatory = True),
        "python": attr.label(allow_single_file = True, mandatory = True),
    },
    doc = "Makes a virtual environment from a hash-locked requirements file, for benchmarks only.",
)
