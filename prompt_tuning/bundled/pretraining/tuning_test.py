# SPDX-License-Identifier: Apache-2.0
import jax
import numpy as np
from absl.testing import absltest

from prompt_tuning.bundled import bundled
from prompt_tuning.bundled.pretraining import encoded_text, tiny_model, tuning

jax.config.update("jax_numpy_rank_promotion", "raise")

SHORT = tuning.Recipe(length=5, steps=60, train_examples=500, eval_examples=200)


class TuningTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.params = tiny_model.checkpoint_params(bundled.checkpoint_path())

    def test_a_prompt_trained_on_other_words_classifies_the_held_out_ones(self):
        without = tuning.without_prompt(self.params)
        self.assertLessEqual(without.accuracy, 0.55)
        result = tuning.tune(self.params, SHORT)
        self.assertGreaterEqual(result.test.accuracy, 0.93)
        self.assertGreaterEqual(result.test.exact_match, 0.93)
        self.assertGreaterEqual(result.validation.accuracy, 0.93)
        self.assertEqual((result.prompt.shape, result.prompt.dtype), ((5, 128), np.float32))

    def test_training_batches_are_reviews_without_and_labels_with_eos(self):
        batch = next(tuning.training_batches(SHORT))
        self.assertFalse((batch["encoder_input_tokens"] == 1).any())
        labels = encoded_text.label_tokens().tolist()
        for row in batch["decoder_target_tokens"].tolist():
            self.assertIn(row[:2], labels)
            self.assertEqual(row[2:], [0, 0])

    def test_the_seed_orders_the_examples(self):
        first, again = (next(tuning.training_batches(SHORT)) for _ in range(2))
        other = next(tuning.training_batches(tuning.Recipe(seed=1, train_examples=500)))
        name = "encoder_input_tokens"
        np.testing.assert_array_equal(first[name], again[name])
        self.assertTrue((first[name] != other[name]).any())


if __name__ == "__main__":
    absltest.main()
