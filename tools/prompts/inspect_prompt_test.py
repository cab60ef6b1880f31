# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import os

import numpy as np
from absl.testing import absltest, flagsaver, parameterized

from data_ops.tokenizer.testdata import tiny_model
from prompt_tuning.checkpoints import t5x_format
from tools.checkpoints import command_line
from tools.prompts import inspect_prompt


class InspectPromptTest(parameterized.TestCase):
    pass


if __name__ == "__main__":
    absltest.main()
