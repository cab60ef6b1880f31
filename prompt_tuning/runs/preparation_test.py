# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

import jax
from absl.testing import absltest, parameterized
from flax import linen as nn

from prompt_tuning.config import checkpoint_config, dataset_config, partitioning
from prompt_tuning.models import models, network
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.runs import devices, preparation

jax.config.update("jax_num_cpu_devices", 4)

GOLDEN = os.path.join(os.path.dirname(__file__), "../../tests/testdata/golden_checkpoints")


def model(mlp_dim=40):
    config = network.T5Config(
        vocab_size=384, emb_dim=16, num_heads=4, head_dim=6, mlp_dim=mlp_dim,
        num_encoder_layers=2, num_decoder_layers=3, dtype="float32",
    )  # fmt: skip
    module = prompted_network.PromptedTransformer(
        config,
        prompt_factory=lambda: combine.Prompt(prompt.Prompt(7, nn.initializers.uniform(0.5))),
    )
    return models.EncoderDecoderModel(module, None, None, None)


def restore(path="checkpoint_1000", mode="specific", rule=r"^.*prompt.*$"):
    return checkpoint_config.RestoreCheckpointConfig(
        os.path.join(GOLDEN, path),
        mode=mode,
        assignment_map=((rule, None),),
        fallback_to_scratch=True,
    )


def dataset(batch_size):
    lengths = {"inputs": 8, "targets": 4}
    return dataset_config.DatasetConfig("task", lengths, "train", batch_size, True, 0)


class PreparationTest(parameterized.TestCase):
    def test_what_a_run_begins_with(self):
        settings = partitioning.PjitPartitioner(num_partitions=2)
        found = preparation.prepare(model(), restore(), settings, (dataset(6), None))
        self.assertEqual(found.part.mesh.devices.shape, (2, 2))
        self.assertEqual(found.plan.drawn, ("encoder/prompt/prompt/prompt",))
        self.assertEqual(found.plan.checkpoint.step, 1000)

    def test_everything_from_scratch(self):
        plan = preparation.prepare(model(), None, None).plan
        self.assertIsNone(plan.checkpoint)
        self.assertIn("token_embedder/embedding", plan.drawn)

    def test_of_several_checkpoints_the_first_is_looked_at(self):
        plan = preparation.prepare(model(), restore("", mode="all"), None).plan
        self.assertEqual(plan.checkpoint.step, 1000)

    @parameterized.named_parameters(
        ("partitions", {"partitioner_settings": partitioning.PjitPartitioner(num_partitions=3)},
         "there are 4 devices, which copies of the model split over 3"),
        ("batch", {"training_sets": (dataset(8), dataset(6))}, "batch size is 6, which 4 copies"),
        ("rule", {"restore": restore(rule="target/nothing")}, "match no name.*'target/nothing'"),
        ("size", {"model": model(mlp_dim=48)}, "mlp/wi_0/kernel has shape .*the model needs"),
    )  # fmt: skip
    def test_what_does_not_fit(self, changes, pattern):
        given = {"model": model(), "restore": restore(), "partitioner_settings": None, **changes}
        with self.assertRaisesRegex(ValueError, pattern):
            preparation.prepare(**given)

    def test_the_device_is_asked_for_first(self):
        missing = ValueError("no such device")
        with mock.patch.object(devices, "check", side_effect=missing):
            with self.assertRaisesRegex(ValueError, "no such device"):
                preparation.prepare(None, None, None)


if __name__ == "__main__":
    absltest.main()
