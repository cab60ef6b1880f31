# SPDX-License-Identifier: Apache-2.0
"""Finds data that tests use where it is at hand; it is no part of the repository."""

import os
import unittest

VARIABLE = "PROMPT_TUNING_SHARED_DATA"


def require(test: unittest.TestCase, name: str) -> str:
    """Path of `name` below the folder of the variable, or `../shared/data`; skips without it."""
    repository = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
    folder = os.environ.get(VARIABLE, os.path.join(repository, "..", "shared", "data"))
    path = os.path.normpath(os.path.join(folder, name))
    if not os.path.exists(path):
        test.skipTest(f"there is no {path}; set {VARIABLE} to the folder that holds {name}.")
    return path
