# SPDX-License-Identifier: Apache-2.0
import io
import json
import os

from absl.testing import absltest, parameterized

from prompt_tuning.runs import summary

FIGURES = {
    "task": "reviews",
    "split": "test",
    "accuracy_without_prompt": 0.5,
    "accuracy_with_prompt": 0.98765,
    "exact_match_with_prompt": 0.98,
    "trained_parameters_without_prompt": 0,
    "trained_parameters_with_prompt": 2560,
    "prompt_parameters": 2560,
    "prompt_bytes": 10240,
    "model_parameters": 11_135_332_352,
    "train_steps": 150,
    "steps_per_second": 20.25,
    "examples_per_second": 648.0,
    "peak_memory_bytes": 1_234_000_000,
    "seconds_to_first_step": 9.5,
    "wall_seconds": 30.0,
}


def shown(figures, notes=()):
    stream = io.StringIO()
    summary.show(figures, notes, stream)
    return stream.getvalue()


class SummaryTest(parameterized.TestCase):
    def test_written_and_read_back(self):
        folder = self.create_tempdir().full_path
        self.assertIsNone(summary.read(folder))
        path = summary.write(folder, FIGURES)
        self.assertEqual(os.listdir(folder), ["summary.json"])
        with open(path) as file:
            self.assertEqual(json.load(file), FIGURES)
        self.assertEqual(summary.read(folder), FIGURES)

    def test_times_of_an_earlier_run(self):
        folder = self.create_tempdir().full_path
        names = ("steps_per_second", "examples_per_second", "seconds_to_first_step")
        nothing = dict.fromkeys(names, 0.0)
        self.assertEqual(summary.times(folder), nothing)
        summary.write(folder, FIGURES)
        self.assertEqual(summary.times(folder), {name: FIGURES[name] for name in names})

    def test_peak_memory_is_this_process_s_and_never_falls(self):
        before = summary.peak_memory_bytes()
        held = bytearray(before + (64 << 20))
        after = summary.peak_memory_bytes()
        self.assertGreaterEqual(after, len(held))
        del held
        self.assertEqual(summary.peak_memory_bytes(), after)

    @parameterized.parameters(
        (0, "0"), (2560, "2,560"), (9_999_999, "9,999,999"), (76_961_152, "77.0 M"),
        (11_135_332_352, "11.1 B"),
    )  # fmt: skip
    def test_counts(self, number, text):
        self.assertEqual(summary.count(number), text)

    @parameterized.parameters(
        (12, "12 bytes"), (10240, "10.2 kB"), (2_360_000, "2.4 MB"), (44_000_000_000, "44.0 GB")
    )
    def test_sizes(self, number, text):
        self.assertEqual(summary.size(number), text)

    def test_table_has_a_row_for_what_was_evaluated_and_no_empty_column(self):
        text = shown(FIGURES)
        self.assertIn("reviews, split test", text)
        self.assertIn("0.500", text)
        self.assertIn("0.988", text)
        self.assertIn("2,560", text)
        self.assertNotIn("whole model tuned", text)
        self.assertNotIn("AUC", text)

    def test_metrics_of_the_task_have_columns_of_their_own(self):
        text = shown({**FIGURES, "f1_with_prompt": 70.5, "f1_without_prompt": 0.0})
        self.assertRegex(text, r"accuracy.*exact match.*f1.*weights trained")
        self.assertRegex(text, r"with the prompt.*0\.988.*70\.500.*2,560")
        self.assertRegex(text, r"no prompt.*0\.500.*0\.000")
        # A name that is too long for a narrow screen goes on in the next line.
        text = shown({**FIGURES, "matthews_corrcoef_with_prompt": 41.25, "f1_with_prompt": 70.5})
        self.assertNotIn("…", text)
        self.assertIn("41.250", text)

    def test_baseline_gets_its_row(self):
        self.assertIn("whole model tuned", shown({**FIGURES, "accuracy_model_tuning": 1.0}))

    def test_says_which_prompt_the_table_is_of(self):
        best = {"best_metric": "f1", "best_step": 1040, "best_value": 70.5, "last_step": 1150}
        self.assertIn(
            "the prompt is that of step 1,040, with the best f1 (70.500); training ended at step "
            "1,150\n",
            shown({**FIGURES, **best}),
        )
        self.assertNotIn("the prompt is that of", shown({**FIGURES, "last_step": 1150}))

    def test_size_speed_and_notes_follow(self):
        text = shown(FIGURES, ["files: [here]"])
        self.assertIn("prompt: 2,560 parameters, 10.2 kB (the model: 11.1 B)", text)
        self.assertIn("150 steps at 20.2 per second (648 rows); first step after 9.5 s", text)
        self.assertIn("all in 30.0 s, 1.2 GB of memory at the peak", text)
        self.assertIn("files: [here]", text)

    def test_without_an_evaluation_it_says_so_instead_of_an_empty_table(self):
        measures = ("accuracy", "exact_match")
        trained = {name: FIGURES[name] for name in FIGURES if not name.startswith(measures)}
        text = shown({**trained, "split": summary.NO_SPLIT})
        self.assertIn("reviews: nothing was evaluated", text)
        self.assertIn("--validation_file", text)
        self.assertNotIn("weights trained", text)
        self.assertIn("prompt: 2,560 parameters", text)

    def test_evaluation_alone_shows_no_training(self):
        only = {name: FIGURES[name] for name in ("task", "split", "accuracy_with_prompt")}
        text = shown({**only, "wall_seconds": 1.0})
        self.assertNotIn("steps", text)
        self.assertIn("0.988", text)


if __name__ == "__main__":
    absltest.main()
