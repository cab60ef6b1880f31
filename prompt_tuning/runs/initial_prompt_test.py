# SPDX-License-Identifier: Apache-2.0

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.runs import initial_prompt

_PROMPT = "encoder/prompt/prompt/prompt"
_TABLE = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)


def _warning(prompt, table=_TABLE, drawn=(_PROMPT,), name=_PROMPT):
    params = {"token_embedder/embedding": table, name: np.asarray(prompt, np.float32)}
    return initial_prompt.scale_warning(params, drawn)


class ScaleWarningTest(parameterized.TestCase):
    def test_embeddings_themselves_are_fine(self):
        self.assertIsNone(_warning(_TABLE[:7]))

    @parameterized.parameters(0.01, 0.2, 5.0, 1000.0)
    def test_another_scale_is_told_with_both_norms(self, factor):
        text = _warning(_TABLE[:7] * factor)
        median = np.median(np.linalg.norm(_TABLE[:7] * factor, axis=1))
        self.assertIn(f"{median:.3g}", text)
        self.assertIn("--prompt_init", text)

    def test_upstreams_uniform_start_is_told_where_embeddings_are_large(self):
        uniform = np.random.default_rng(1).uniform(-0.5, 0.5, (7, 16))
        self.assertIsNotNone(_warning(uniform, _TABLE * 10))

    def test_a_prompt_from_a_checkpoint_or_model_from_scratch_is_not_judged(self):
        far = _TABLE[:7] * 1000
        self.assertIsNone(_warning(far, drawn=()))
        self.assertIsNone(_warning(far, drawn=(_PROMPT, "token_embedder/embedding")))

    def test_no_prompt_and_other_parameters_are_passed_over(self):
        self.assertIsNone(_warning(np.zeros((0, 16))))
        self.assertIsNone(_warning(np.ones((7, 3))))
        self.assertIsNone(_warning(_TABLE * 1000, name="encoder/scale", drawn=("encoder/scale",)))


if __name__ == "__main__":
    absltest.main()
