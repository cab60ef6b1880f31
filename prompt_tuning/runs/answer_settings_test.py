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
        ({}, []),
        ({"temperature": 0.0, "topk": 3}, ["--temperature", "--top_k"]),
        ({"num_decodes": 1, "return_all_decodes": True}, ["--num_decodes", "--all_decodes"]),
        ({"topp": 0.5, "seed": 3}, ["--top_p"]),
    )
    def test_flags_about_decoding(self, fields, expected):
        self.assertEqual(Settings(**fields).decoding_flags, expected)

    @parameterized.parameters(
        ({"prompts": ["a"]}, "--prompt=a is not usable; accepted is NAME=PATH"),
        ({"prompts": ["a=x", "a=y"]}, "each name once"),
        ({"prompts": ["=x"]}, "NAME=PATH"),
        ({"prompts": ["a=x"], "default_prompt": "b"}, "'b' is not among the prompts a"),
        ({"prompts": ["a=x"], "ensemble": True}, "ensemble of 1 prompts.*at least two"),
        ({"num_decodes": 0}, "num_decodes is 0"),
        ({"temperature": -1.0}, "temperature is -1.0; it must be at least 0: --temperature"),
        ({"topk": -2}, "top_k is -2; .*--top_k"),
        ({"topp": 1.5}, "top_p is 1.5; it must be from 0 to 1: --top_p"),
        ({"topk": 2, "topp": 0.5}, "top_k is 2 and top_p is 0.5; they exclude each other"),
        (
            {"prompts": ["a=x", "b=y"], "ensemble": True, "return_all_decodes": True},
            "one answer to a row.*--all_decodes",
        ),
        ({"input_format": "xml"}, "'xml'; accepted are lines, tsv, csv, jsonl: --input_format"),
    )
    def test_settings_that_make_no_sense(self, fields, message):
        with self.assertRaisesRegex(ValueError, message):
            Settings(**fields)


if __name__ == "__main__":
    absltest.main()
