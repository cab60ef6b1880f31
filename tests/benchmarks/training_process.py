# SPDX-License-Identifier: Apache-2.0
"""`training_process REQUEST.json` starts `training_worker` as `config.program` starts `train`.

First one heap for all threads, then the modules while the collector rests.
"""

import importlib
import json
import sys

from prompt_tuning.config import allocator, collector


def main(path: str) -> None:
    allocator.use_one_heap()
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    with collector.resting():
        worker = importlib.import_module("tests.benchmarks.training_worker")
    worker.serve(request)


if __name__ == "__main__":
    main(sys.argv[1])
