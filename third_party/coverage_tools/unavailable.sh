#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
echo "error: coverage needs Bazel 7 (see .bazelversion); this is the offline stand-in for Bazel 4" >&2
exit 1
