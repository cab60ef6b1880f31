# SPDX-License-Identifier: Apache-2.0
"""Programs with all they need as one archive that installs itself on a machine without Bazel."""

def _entry(file):
    # Python packages come from the lock files, and the rest of other repositories is Bazel's own, but for the shared
    # libraries of our ops: those Bazel has laid into _solib_*, a folder of this workspace.
    return None if file.short_path.startswith("../") else file.short_path + "=" + file.path

def _deploy_bundle_impl(ctx):
    archive = ctx.actions.declare_file(ctx.label.name + ".tar.gz")
    runfiles = [program[DefaultInfo].default_runfiles.files for program in ctx.attr.programs]
    files = depset(ctx.files.files, transitive = runfiles)
    args = ctx.actions.args()
    args.use_param_file("@%s", use_always = True)
    args.set_param_file_format("multiline")
    args.add(archive, format = "--output=%s")
    args.add(ctx.file.install, format = "--install=%s")
    for program in ctx.attr.programs:
        args.add(program.label.package + "/" + program.label.name, format = "--program=%s")
    args.add_all(files, map_each = _entry)
    ctx.actions.run(
        arguments = [args],
        executable = ctx.executable._pack,
        inputs = depset([ctx.file.install], transitive = [files]),
        mnemonic = "DeployBundle",
        outputs = [archive],
        progress_message = "Packing {}".format(ctx.label.name),
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset([archive]), runfiles = ctx.runfiles([archive]))]

# A rule and no genrule: only a rule sees all files that a program needs.
deploy_bundle = rule(
    doc = """Makes `name`.tar.gz: sources, native ops and data of `programs`, lock files, and `install`.

    The same inputs give the same bytes. `./install` in the unpacked folder makes the Python environment for a TPU
    (`./install cpu`, `./install cuda` for another); then bazel-bin/PACKAGE/NAME starts a program, as in a checkout.
    """,
    implementation = _deploy_bundle_impl,
    attrs = {
        "files": attr.label_list(allow_files = True, doc = "What else goes in: lock files, the licence."),
        "install": attr.label(allow_single_file = True, default = "//tools/deploy:install.sh"),
        "programs": attr.label_list(doc = "py_binary targets, each with a source of its name.", mandatory = True),
        "_pack": attr.label(cfg = "target", default = "//tools/deploy:pack_bundle", executable = True),
    },
)
