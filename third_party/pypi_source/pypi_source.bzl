# SPDX-License-Identifier: Apache-2.0
"""C++ sources out of a Python source distribution, pinned by the hashes of the Python lock file."""

def _pypi_source_impl(rctx):
    name = rctx.attr.distribution
    lines, taking = [], False
    for line in rctx.read(rctx.path(rctx.attr.lock)).split("\n"):
        taking = taking or line.startswith(name + "==")
        if taking:
            lines.append(line)
            taking = line.endswith("\\")
    if not lines:
        fail("{} has no entry `{}==`; add it to requirements.in and lock again.".format(rctx.attr.lock, name))
    rctx.file("source.txt", "\n".join(lines) + "\n", executable = False)
    rctx.report_progress("fetching the source of " + name)

    # pip asks the distribution's build backend for metadata: --no-build-isolation keeps that to the locked setuptools.
    result = rctx.execute([
        rctx.path(rctx.attr.python),
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "download",
        "--no-deps",
        "--no-build-isolation",
        "--require-hashes",
        "--no-binary=" + name,
        "-r",
        "source.txt",
        "-d",
        "download",
    ], timeout = 600, quiet = True)
    if result.return_code != 0:
        fail("pip could not download the source of {} (is the Python package index reachable?): {}".format(
            name,
            result.stderr.strip().split("\n")[-1],
        ))
    archives = [path for path in rctx.path("download").readdir() if path.basename.endswith(".tar.gz")]
    if len(archives) != 1:
        fail("expected one .tar.gz for {}, got {}".format(name, [path.basename for path in archives]))
    rctx.extract(archives[0], stripPrefix = archives[0].basename[:-len(".tar.gz")])
    rctx.delete("download")
    rctx.symlink(rctx.attr.build_file, "BUILD.bazel")

pypi_source = repository_rule(
    implementation = _pypi_source_impl,
    attrs = {
        "build_file": attr.label(allow_single_file = True, mandatory = True),
        "distribution": attr.string(mandatory = True),
        "lock": attr.label(allow_single_file = True, mandatory = True),
        "python": attr.label(allow_single_file = True, mandatory = True),
    },
    doc = "Downloads a source distribution by the hashes of the lock file and gives it a BUILD file.",
)
