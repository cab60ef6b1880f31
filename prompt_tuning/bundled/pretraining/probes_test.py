# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest
from flax import linen as nn
from flax import traverse_util

from prompt_tuning.bundled import bundled
from prompt_tuning.bundled.pretraining import encoded_text, probes, tiny_model
from prompt_tuning.models import network

jax.config.update("jax_numpy_rank_promotion", "raise")


class FixedLogits(nn.Module):
    """Says of each example what its first token tells it to say: an id, or nothing for 0."""

    bias_id: int = 0
    bias: float = 0.0

    def __call__(self, inputs, decoder_inputs, decoder_targets, prompt=None):
        wanted = inputs[:, 0] if prompt is None else inputs[:, 1]
        logits = jax.nn.one_hot(wanted, 20) + self.bias * jax.nn.one_hot(self.bias_id, 20)[None]
        return jnp.broadcast_to(logits[:, None], (*decoder_inputs.shape, 20))


def _examples(labels: list[int], says: list[int]) -> encoded_text.LabelledTokens:
    words = encoded_text.label_tokens()[:, 0]
    inputs = np.stack([words[says], words[labels]], axis=1)
    return encoded_text.LabelledTokens(inputs, np.array(labels, np.int32))


class FirstTokenScoresTest(absltest.TestCase):
    def test_a_model_that_is_right_but_once(self):
        examples = _examples(labels=[0, 1, 0, 1], says=[0, 1, 0, 0])
        scores = probes.first_token_scores(FixedLogits(), {}, examples)
        self.assertEqual(scores, probes.Scores(accuracy=0.75, auc=0.75, exact_match=0.75))

    def test_a_bias_costs_accuracy_and_not_auc(self):
        positive = int(encoded_text.label_tokens()[1, 0])
        examples = _examples(labels=[0, 1, 0, 1], says=[0, 1, 0, 1])
        scores = probes.first_token_scores(FixedLogits(positive, 3.0), {}, examples)
        self.assertEqual((scores.accuracy, scores.auc), (0.5, 1.0))

    def test_another_token_costs_exact_match_alone(self):
        examples = _examples(labels=[0, 1], says=[0, 1])
        scores = probes.first_token_scores(FixedLogits(19, 3.0), {}, examples)
        self.assertEqual(scores, probes.Scores(accuracy=1.0, auc=1.0, exact_match=0.0))

    def test_a_prompt_reaches_the_module(self):
        examples = _examples(labels=[0, 1], says=[1, 0])
        without = probes.first_token_scores(FixedLogits(), {}, examples)
        prompted = probes.first_token_scores(FixedLogits(), {}, examples, jnp.zeros((1, 2)))
        self.assertEqual((without.accuracy, prompted.accuracy), (0.0, 1.0))

    def test_reads_as_three_figures(self):
        text = str(probes.Scores(0.5, 0.25, 0.125))
        self.assertEqual(text, "accuracy 0.500, AUC 0.250, exact match 0.125")


class BundledCheckpointTest(absltest.TestCase):
    """The gates that a new checkpoint has to pass."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        params = tiny_model.checkpoint_params(bundled.checkpoint_path())
        cls.nested = traverse_util.unflatten_dict(params, sep="/")
        cls.module = network.Transformer(tiny_model.config())

    def _scores(self, suffix: str) -> probes.Scores:
        examples = encoded_text.classification("test", 300, suffix=suffix)
        return probes.first_token_scores(self.module, self.nested, examples)

    def test_knows_the_polarity_of_the_held_out_words(self):
        self.assertGreaterEqual(self._scores(" overall a").exact_match, 0.95)

    def test_does_not_name_it_without_a_prompt(self):
        scores = self._scores("")
        self.assertLessEqual(scores.accuracy, 0.55)
        self.assertLessEqual(scores.exact_match, 0.1)

    def test_but_has_it_in_the_order_of_the_logits(self):
        self.assertGreaterEqual(self._scores("").auc, 0.95)


if __name__ == "__main__":
    absltest.main()
