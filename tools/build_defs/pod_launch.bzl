# SPDX-License-Identifier: Apache-2.0
"""A script or manifest that launches a binary of this repository on many accelerators."""

_GENERATE = "//tools/launch:generate"

def _quoted(text):
    """One word for the shell of a genrule, in which `$` is Bazel's too."""
    return "'" + text.replace("'", "'\\''").replace("$", "$$") + "'"

def pod_launch(
        name,
        binary,
        accelerator,
        args = [],
        platform = "tpu",
        zone = None,
        version = None,
        workers = None,
        image = None,
        visibility = None,
        testonly = None):
    """Makes `name`.sh, which creates, installs, runs and deletes; for a JobSet the manifest `name`.yaml.

    Look at it with `tools/bazel run //tools/launch:NAME -- --help`; the file in bazel-bin also stands alone.

    Args:
      name: of the target and of the run.
      binary: label of the program to start, which must also be known as bazel-bin/PACKAGE/NAME.
      accelerator: a TPU slice such as v4-32 or v5litepod-64; for Slurm, and a JobSet of GPU nodes, the GPUs of a node,
        such as a100:8. A slice that does not exist fails the build with the nearest one that does.
      args: flags of the program. `${NAME}`, with a capital name, becomes a variable that must be set when launching;
        all else is literal.
      platform: "tpu" (TPU VMs through gcloud), "slurm" (GPUs through sbatch) or "jobset" (TPUs or GPUs in GKE).
      zone: tpu: where the TPU is made unless ZONE is set.
      version: tpu: software version of the TPU VM; the usual one of the generation by default.
      workers: number of hosts. Follows from the slice for TPUs, where it is only checked; needed for GPU nodes.
      image: jobset: container image whose working directory is a checkout with the binary built.
      visibility: of the target.
      testonly: as everywhere in Bazel.
    """
    label = binary
    if label.startswith(":"):
        label = "//" + native.package_name() + label
    elif label.startswith("//") and ":" not in label:
        label = label + ":" + label.split("/")[-1]
    spec = {
        "accelerator": accelerator,
        "args": args,
        "binary": label,
        "name": name,
        "platform": platform,
    }
    optional = {"image": image, "version": version, "workers": workers, "zone": zone}
    for key, value in optional.items():
        if value != None:
            spec[key] = value
    is_script = platform != "jobset"
    native.genrule(
        name = name,
        # Not read: a program that does not exist is told here, and not by a TPU that bills already.
        srcs = [binary],
        outs = [name + (".sh" if is_script else ".yaml")],
        cmd = "$(location {}) --spec={} > $@".format(_GENERATE, _quoted(json.encode(spec))),
        executable = is_script,
        testonly = testonly,
        tools = [_GENERATE],
        visibility = visibility,
    )
