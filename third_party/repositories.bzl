# SPDX-License-Identifier: Apache-2.0
"""Every external repository of this workspace. WORKSPACE loads nothing else."""

load("//third_party/benchmark_peers:benchmark_peers.bzl", "benchmark_peers")
load("//third_party/jaxlib:jaxlib_headers.bzl", "jaxlib_headers")
load("//third_party/pypi_source:pypi_source.bzl", "pypi_source")
load("//third_party/pypi_wheel:pypi_wheel.bzl", "pypi_wheel")
load("//third_party/python:python_environment.bzl", "python_environment")

def repositories():
    """Declares what is not ours, and for old Bazel the stand-ins that it would else download."""
    python_environment(
        name = "python",
        accelerator_locks = {
            "//third_party/python:requirements_cuda.lock": "cuda",
            "//third_party/python:requirements_tpu.lock": "tpu",
        },
        inspector = "//third_party/python:inspect_environment.py",
        lock = "//third_party/python:requirements.lock",
    )
    pypi_source(
        name = "sentencepiece",
        build_file = "//third_party/sentencepiece:sentencepiece.BUILD",
        distribution = "sentencepiece",
        lock = "//third_party/python:requirements.lock",
        python = "@python//:venv/bin/python3",
    )
    benchmark_peers(
        name = "benchmark_peers",
        lock = "//third_party/benchmark_peers:requirements.lock",
        python = "@python//:venv/bin/python3",
    )
    jaxlib_headers(
        name = "jaxlib_headers",
        lock = "//third_party/python:requirements.lock",
        python = "@python//:venv/bin/python3",
    )

    # Fetched only where it is built for: Linux on x86-64. The wheel holds the library three times.
    pypi_wheel(
        name = "onednn",
        build_file = "//third_party/onednn:onednn.BUILD",
        distribution = "onednn-cpu-gomp",
        drop = ["onednn_cpu_gomp-2023.2.0.data/data/lib/libdnnl.so" + end for end in ("", ".3.2")],
        lock = "//third_party/onednn:onednn.lock",
        python = "@python//:venv/bin/python3",
    )
    pypi_wheel(
        name = "onednn_headers",
        build_file = "//third_party/onednn:onednn_headers.BUILD",
        distribution = "onednn-devel-cpu-gomp",
        lock = "//third_party/onednn:onednn.lock",
        python = "@python//:venv/bin/python3",
    )
    if _is_bazel_4():
        native.local_repository(name = "rules_java", path = "third_party/rules_java")
        native.local_repository(name = "rules_cc", path = "third_party/rules_cc")
        native.local_repository(name = "remote_coverage_tools", path = "third_party/coverage_tools")

def _is_bazel_4():
    # Debian builds its Bazel 4.2.3 without a version: the text is then empty.
    version = native.bazel_version
    return not version or version.startswith("4.") or version.startswith("no_version")
