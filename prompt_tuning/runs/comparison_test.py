# SPDX-License-Identifier: Apache-2.0
import io
import json
import os

import jax
import numpy as np
import rich.console
from absl.testing import absltest

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.bundled import bundled, world
from prompt_tuning.config import dataset_config
from prompt_tuning.models import models, network
from prompt_tuning.prompts import combine, prompt, prompted_network
from prompt_tuning.runs import comparison, initialization, summary

_SHAPES = {"encoder_input_tokens": (1, 4), "decoder_input_tokens": (1, 3)}
_WIDTH = 8


def _model():
    vocabulary = SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)
    config = network.T5Config(
        vocab_size=1280, emb_dim=_WIDTH, num_heads=2, head_dim=4, mlp_dim=8,
        num_encoder_layers=1, num_decoder_layers=1, dtype="float32",
    )  # fmt: skip
    module = prompted_network.PromptedTransformer(
        config, prompt_factory=lambda: combine.Prompt(prompt.Prompt(3))
    )
    return models.EncoderDecoderModel(module, vocabulary, vocabulary, None)


class ComparisonTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.create_tempdir().full_path

    def _config(self) -> dataset_config.DatasetConfig:
        examples = world.classification_examples("test", 12, 0)
        rows = "".join(f"{label}\t{text}\n" for text, label in examples)
        path = self.create_tempfile("dev.tsv", "label\ttext\n" + rows).full_path
        files = dataset_config.FileTask(
            validation_file=path, label_words=("negative", "positive"), add_inputs_eos=False
        )
        return dataset_config.DatasetConfig(
            "file_task", {"inputs": 64, "targets": 4}, "validation", 4, False, 0, file_task=files
        )

    def _prompts(self) -> list[str]:
        paths = []
        for name, length in (("a", 3), ("b", 5)):
            paths.append(os.path.join(self.folder, f"{name}.npy"))
            np.save(paths[-1], np.full((length, _WIDTH), 0.5 * length, np.float32))
        return paths

    def test_every_prompt_on_the_task(self):
        model, paths = _model(), self._prompts()
        params = initialization.initial_parameters(model, _SHAPES, jax.random.PRNGKey(3)).params
        prompts = comparison.read_prompts(paths, _WIDTH)
        output = os.path.join(self.folder, "out")
        found = list(
            comparison.results(model, params, 7, self._config(), ["file_task"], prompts, output)
        )
        self.assertEqual([r.prompt for r in found], [*paths, comparison.NO_PROMPT])
        for result in found:
            self.assertContainsSubset(["accuracy", "auc"], result.figures)
            self.assertIn("rank_accuracy_per_token", result.metrics)
        lines = {}
        for name in ("a", "b", "no_prompt"):
            path = os.path.join(output, name, "inference_eval", "file_task-metrics.jsonl")
            with open(path, encoding="utf-8") as file:
                (lines[name],) = map(json.loads, file)
            self.assertTrue(os.path.isdir(os.path.join(os.path.dirname(path), "file_task")))
        self.assertAlmostEqual(lines["b"]["rank_auc"], found[1].figures["auc"])
        stream = io.StringIO()
        summary.show_table(comparison.table(found, "validation"), ["files: here"], stream)
        for result in found:
            self.assertIn(f"{result.figures['accuracy']:.3f}", stream.getvalue())
        self.assertIn("no prompt", stream.getvalue())
        self.assertEqual(comparison.records(found)[1]["accuracy"], found[1].figures["accuracy"])

    def test_prompts_that_do_not_fit(self):
        a, b = self._prompts()
        with self.assertRaisesRegex(ValueError, r"shape \(3, 8\), and the model's width is 16"):
            comparison.read_prompts([a, b], 16)
        with self.assertRaisesRegex(ValueError, "name one twice: --prompts"):
            comparison.read_prompts([a, a], _WIDTH)
        with self.assertRaisesRegex(FileNotFoundError, "nowhere does not exist"):
            comparison.read_prompts(["nowhere"], _WIDTH)

    def test_table_tells_names_apart_and_has_every_metric(self):
        tasks = [f"taskless_glue_mnli_and_dev_v200_examples_{end}" for end in ("matched", "other")]
        found = [
            comparison.Result(tasks[0], "runs/a", {"accuracy": 0.5}, {"f1": 61.5, "a/f1": 1.0}),
            comparison.Result(tasks[1], "runs/a", {}, {"matthews_corrcoef": 12.5}),
        ]
        stream = io.StringIO()
        console = rich.console.Console(file=stream, width=80)
        console.print(comparison.table(found, "validation"))
        text = stream.getvalue()
        rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in text.split("\n")]
        names = "".join(row[0] for row in rows if row)
        for task in tasks:
            self.assertIn(task, names)
        self.assertNotIn("…", text)
        self.assertIn("61.500", text)
        self.assertIn("12.500", text)

    def test_names_of_folders(self):
        self.assertEqual(
            comparison.folder_names(["runs/a/", "b.npy"]), {"runs/a/": "a", "b.npy": "b"}
        )
        self.assertEqual(
            comparison.folder_names(["x/p.npy", "/y/p.npy"]),
            {"x/p.npy": "x_p.npy", "/y/p.npy": "y_p.npy"},
        )


if __name__ == "__main__":
    absltest.main()
