# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest, parameterized

from prompt_tuning.inference import predictor
from prompt_tuning.runs import answer_settings

Settings = answer_settings.AnswerSettings


class AnswerSettingsTest(parameterized.TestCase):
    def test_prompts(self):
        settings = Settings(prompts=["a=/x=1.npy", "b=y"])
        self.assertEqual(settings.prompt_paths, {"a": "/x=1.npy", "b": "y"})
        self.assertIsNone(settings.prompt_of_the_nameless)
        self.assertEqual(Settings(prompts=["a=x"]).prompt_of_the_nameless, "a")
        chosen = Settings(prompts=["a=x", "b=y"], default_prompt="b")
        self.assertEqual(chosen.prompt_of_the_nameless, "b")
        self.assertIsNone(Settings().prompt_of_the_nameless)

    @parameterized.parameters(
        ({}, None),
        ({"temperature": 0.0}, predictor.Sampling(0.0)),
        ({"topk": 5}, predictor.Sampling(1.0, 5)),
        ({"topp": 0.9, "temperature": 2.0}, predictor.Sampling(2.0, 0, 0.9)),
    )
    def test_sampling(self, fields, expected):
        self.assertEqual(Settings(**fields).sampling, expected)

    @parameterized.parameters(
        ({"prompts": ["a"]}, "--prompt=a is not usable; accepted is NAME=PATH"),
        ({"prompts": ["a=x", "a=y"]}, "each name once"),
        ({"prompts": ["=x"]}, "NAME=PATH"),
        ({"prompts": ["a=x"], "default_prompt": "b"}, "'b' is not among the prompts a"),
        ({"prompts": ["a=x"], "ensemble": True}, "ensemble of 1 prompts.*at least two"),
        ({"num_decodes": 0}, "num_decodes is 0"),
        ({"input_format": "xml"}, "'xml'; accepted are lines, tsv, csv, jsonl: --input_format"),
    )
    def test_settings_that_make_no_sense(self, fields, message):
        with self.assertRaisesRegex(ValueError, message):
            Settings(**fields)


if __name__ == "__main__":
    absltest.main()
