# SPDX-License-Identifier: Apache-2.0
"""Prints what Bazel must know of a Python environment, as JSON: version, header folders, missing pieces.

Standard library only: it runs before anything is installed.
"""

import importlib.util
import json
import os
import sys
import sysconfig


def describe() -> dict:
    include = sysconfig.get_paths()["include"]
    pybind11 = importlib.util.find_spec("pybind11")
    return {
        "version": list(sys.version_info[:2]),
        "executable": sys.executable,
        "include": include,
        "has_headers": os.path.exists(os.path.join(include, "Python.h")),
        "has_venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
        "pybind11_include": (
            os.path.join(os.path.dirname(pybind11.origin), "include") if pybind11 else None
        ),
    }


if __name__ == "__main__":
    json.dump(describe(), sys.stdout)
