# SPDX-License-Identifier: Apache-2.0
"""A C++ module that Python imports."""

def pybind_extension(name, srcs, deps, pyi = None, visibility = None, testonly = None, target_compatible_with = []):
    """Builds `name`.so from pybind11 sources, and a py_library `name` that brings it.

    Only PyInit_<name> is exported. Without that, thousands of symbols of SentencePiece, protobuf and absl would leak
    into a process that also loads TensorFlow's copies of them.

    Args:
      name: the module's name, the argument of PYBIND11_MODULE; import it by the package's path.
      srcs: C++ sources of the binding.
      deps: cc_library targets; the pybind11 headers are added.
      pyi: the type stub that stands beside the sources.
      visibility: of the py_library.
      testonly: as everywhere in Bazel.
      target_compatible_with: as everywhere in Bazel.
    """
    native.genrule(
        name = name + "_exports",
        outs = [name + ".lds"],
        cmd = "echo '{ global: PyInit_%s; local: *; };' > $@" % name,
        target_compatible_with = target_compatible_with,
        testonly = testonly,
    )
    native.cc_binary(
        name = name + ".so",
        srcs = srcs,
        copts = ["-fvisibility=hidden"],
        linkopts = ["-Wl,--version-script,$(location :%s.lds)" % name, "-Wl,-Bsymbolic"],
        linkshared = True,
        target_compatible_with = target_compatible_with,
        testonly = testonly,
        deps = deps + [
            ":%s.lds" % name,
            "//third_party/pybind11",
        ],
    )
    native.py_library(
        name = name,
        data = [name + ".so"] + ([pyi] if pyi else []),
        target_compatible_with = target_compatible_with,
        testonly = testonly,
        visibility = visibility,
    )
