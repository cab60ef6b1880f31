# SPDX-License-Identifier: Apache-2.0
"""Files out of a wheel, pinned by the hashes of a lock file: C++ headers and libraries, not Python modules."""

def _pypi_wheel_impl(rctx):
    name = rctx.attr.distribution
    lines, taking = [], False
    for line in rctx.read(rctx.path(rctx.attr.lock)).split("\n"):
        taking = taking or line.startswith(name + "==")
        if taking:
            lines.append(line)
            taking = line.endswith("\\")
    if not lines:
        fail("{} has no entry `{}==`.".format(rctx.attr.lock, name))
    rctx.file("wheel.txt", "\n".join(lines) + "\n", executable = False)
    rctx.report_progress("fetching the wheel of " + name)
    result = rctx.execute([
        rctx.path(rctx.attr.python),
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        "-r",
        "wheel.txt",
        "-d",
        "download",
    ], timeout = 600, quiet = True)
    if result.return_code != 0:
        fail("pip could not download the wheel of {} (is the Python package index reachable?): {}".format(
            name,
            result.stderr.strip().split("\n")[-1],
        ))
    archives = rctx.path("download").readdir()
    if len(archives) != 1:
        fail("expected one wheel for {}, got {}".format(name, [path.basename for path in archives]))

    # Old Bazel knows an archive's type by its name alone.
    rctx.symlink(archives[0], "wheel.zip")
    rctx.extract("wheel.zip")
    rctx.delete("wheel.zip")
    rctx.delete("download")
    for path in rctx.attr.drop:
        rctx.delete(path)
    rctx.symlink(rctx.attr.build_file, "BUILD.bazel")

pypi_wheel = repository_rule(
    implementation = _pypi_wheel_impl,
    attrs = {
        "build_file": attr.label(allow_single_file = True, mandatory = True),
        "distribution": attr.string(mandatory = True),
        "drop": attr.string_list(doc = "Files of the wheel that are not needed."),
        "lock": attr.label(allow_single_file = True, mandatory = True),
        "python": attr.label(allow_single_file = True, mandatory = True),
    },
    doc = "Downloads a wheel by the hashes of a lock file, unpacks it and gives it a BUILD file.",
)
