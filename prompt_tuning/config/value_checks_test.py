# SPDX-License-Identifier: Apache-2.0
"""Tests of the values that are looked at before the code that they are for is loaded."""

from absl.testing import absltest, parameterized

from prompt_tuning.config import early_settings, gin_files, gin_flags, value_checks


def _check(*bindings, prompts=()):
    files = ["prompt_tuning/configs/models/t5_1_1_base_prompt.gin"]
    files.extend(f"prompt_tuning/configs/prompts/{name}.gin" for name in prompts)
    files.append("prompt_tuning/configs/runs/prompt_finetune.gin")
    statements = gin_files.read(files, bindings, gin_flags.search_paths(["."]))
    value_checks.check(early_settings.EarlySettings(statements))


class ValueChecksTest(parameterized.TestCase):
    def test_the_shipped_values_are_accepted(self):
        _check()

    @parameterized.parameters(
        (
            "PROMPT_LENGTH = 0",
            r"^--prompt_length \(PROMPT_LENGTH\) is 0; .* 0\. In gin .*Prompt\.length",
        ),
        ("PROMPT_LENGTH = 2.5", "PROMPT_LENGTH. is 2.5"),
        ("NUM_HEADS = True", "NUM_HEADS is True.*num_heads"),
        ("EMBED_DIM = 'wide'", "EMBED_DIM is 'wide'"),
        ("DROPOUT_RATE = 1.0", r"DROPOUT_RATE. is 1\.0; it must be at least 0 and below 1"),
        ("ACTIVATION_DTYPE = 'float16'", r"'float16'; .*float64; did you mean bfloat16\? In gin"),
        ("LABEL_SMOOTHING = -0.1", "LABEL_SMOOTHING"),
        ("Z_LOSS = 'no'", "Z_LOSS"),
        ("PROMPT_REGEX = '.*'", "PROMPT_REGEX is .* a list of regular expressions"),
        ("PROMPT_REGEX = ['(']", "PROMPT_REGEX is .* a list of regular expressions"),
        (
            "utils.create_learning_rate_scheduler.base_learning_rate = -1",
            "--learning_rate .* is -1",
        ),
        ("utils.create_learning_rate_scheduler.factors = 'constnt'", "did you mean constant"),
    )
    def test_refused(self, binding, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            _check(binding)

    @parameterized.product(
        prompts=(["from_class_labels"], ["from_class_labels_numpy"]),
        value=("'positive'", "[]", "[0, 1]"),
    )
    def test_class_labels(self, prompts, value):
        _check("CLASS_LABELS = ['negative', 'positive']", prompts=prompts)
        with self.assertRaisesRegex(ValueError, "^CLASS_LABELS is .* must be a list of texts"):
            _check(f"CLASS_LABELS = {value}", prompts=prompts)


if __name__ == "__main__":
    absltest.main()
