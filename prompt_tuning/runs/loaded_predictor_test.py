# SPDX-License-Identifier: Apache-2.0
import itertools
import os

import gin
import numpy as np
from absl.testing import absltest

from data_ops import vocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.config import aliases, checkpoint_config, dataset_config
from prompt_tuning.inference import predictor, requests
from prompt_tuning.models import models, network
from prompt_tuning.partitioning import partitioner
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.runs import answer_settings, loaded_predictor

_IMPORTS = """
from __gin__ import dynamic_registration
from t5x import decoding
from t5x import models
"""
H = bundled.SIZES["emb_dim"]


def config(**fields):
    files = dataset_config.FileTask(test_file="unused.tsv", **fields)
    return dataset_config.DatasetConfig(
        "file_task", {"inputs": 8, "targets": 4}, "test", 4, False, 0, file_task=files
    )


def make_model():
    words = vocabulary.SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)
    module = prompted_network.PromptedTransformer(
        network.T5Config(**bundled.SIZES, dtype="float32"),
        prompt_factory=lambda: combine.Prompt(prompt.Prompt(5)),
    )
    return models.EncoderDecoderModel(module, words, words, None)


class LoadedPredictorTest(absltest.TestCase):
    def load(self, prompts, **fields):
        folder = self.create_tempdir().full_path
        for name, value in prompts.items():
            np.save(os.path.join(folder, f"{name}.npy"), value)
        settings = answer_settings.AnswerSettings(
            prompts=[f"{name}={os.path.join(folder, name)}.npy" for name in prompts], **fields
        )
        restore = checkpoint_config.RestoreCheckpointConfig(
            bundled.checkpoint_path(),
            mode="specific",
            dtype="float32",
            fallback_to_scratch=True,
            assignment_map=((r".*prompt.*", None),),
        )
        part = partitioner.Partitioner()
        return loaded_predictor.load(make_model(), config(), restore, 0, settings, True, part)

    def test_prompts_by_name_and_what_answers_depend_on(self):
        values = {"a": np.ones((7, H), np.float32), "b": np.zeros((2, H), np.float32)}
        loaded = self.load(values)
        self.assertEqual(loaded.batch_size, 4)
        rows = [requests.Request("good .", name) for name in ("a", "b", "c", None)]
        scores = list(loaded.predictor.score_labels_stream(rows, ["positive", "negative"]))
        self.assertFalse(np.allclose(scores[0], scores[1]))
        self.assertEqual([s.kind for s in scores[2:]], ["unknown_prompt"] * 2)
        self.assertEqual(self.load(values).identity, loaded.identity)
        for other in (
            self.load({**values, "b": np.full((2, H), 2.0, np.float32)}),
            self.load(values, default_prompt="a"),
            self.load(values, temperature=1.0),
            self.load(values, num_decodes=2),
        ):
            self.assertNotEqual(other.identity, loaded.identity)

    def test_answers_depend_on_what_gin_binds_to_the_search(self):
        self.addCleanup(gin.clear_config)
        found = [self.load({}).identity]
        with aliases.installed():
            for binding in (
                "decoding.beam_search.alpha = 0.0",
                "decoding.beam_search.alpha = 1.0",
                "models.EncoderDecoderModel.predict_batch_with_aux.num_decodes = 4",
            ):
                gin.parse_config(f"{_IMPORTS}\n{binding}")
                found.append(self.load({}).identity)
        for earlier, later in itertools.pairwise(found):
            self.assertNotEqual(earlier, later)
        self.assertEqual(found[2]["decode_fn.alpha"], "1.0")

    def test_the_models_own_prompt(self):
        loaded = self.load({})
        self.assertEqual(list(loaded.identity["prompts"]), ["encoder/prompt/prompt/prompt"])
        answer = loaded.predictor.predict(["good ."])[0]
        self.assertIsInstance(answer, predictor.Prediction)

    def test_a_prompt_of_another_model(self):
        with self.assertRaisesRegex(ValueError, r"'a' has shape \(3, 4\).*--prompt=a=PATH"):
            self.load({"a": np.zeros((3, 4), np.float32)})

    def test_inputs_end_with_eos_as_the_task_was_trained(self):
        self.assertTrue(loaded_predictor.ends_with_eos(None))
        self.assertTrue(loaded_predictor.ends_with_eos(config()))
        self.assertFalse(loaded_predictor.ends_with_eos(config(add_inputs_eos=False)))


if __name__ == "__main__":
    absltest.main()
