# SPDX-License-Identifier: Apache-2.0
"""@jaxlib_headers: the C++ headers of XLA's foreign functions, from the jaxlib that Python runs with."""

_BUILD = """# SPDX-License-Identifier: Apache-2.0
cc_library(
    name = "ffi",
    hdrs = glob(["include/xla/ffi/api/*.h"]),
    includes = ["include"],
    visibility = ["//visibility:public"],
)
"""
_FIND = "import importlib.util; print(importlib.util.find_spec('jaxlib').submodule_search_locations[0])"

def _jaxlib_headers_impl(rctx):
    # The lock file is an attribute so that another jaxlib brings its own headers.
    rctx.path(rctx.attr.lock)
    result = rctx.execute([rctx.path(rctx.attr.python), "-c", _FIND], quiet = True)
    if result.return_code != 0:
        fail("jaxlib is not in the Python environment: {}".format(result.stderr.strip().split("\n")[-1]))
    rctx.symlink(result.stdout.strip() + "/include", "include")
    rctx.file("BUILD", _BUILD, executable = False)

jaxlib_headers = repository_rule(
    implementation = _jaxlib_headers_impl,
    attrs = {
        "lock": attr.label(allow_single_file = True, mandatory = True),
        "python": attr.label(allow_single_file = True, mandatory = True),
    },
    doc = "Links the include folder of the environment's jaxlib.",
)
