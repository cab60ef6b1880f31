# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest

from prompt_tuning.data import benchmark, metrics, postprocessors, text_formats

DATASET = benchmark.Dataset("d", ("no", "yes"), (metrics.accuracy,), splits=("train",))


class BenchmarkTest(absltest.TestCase):
    def test_task_index(self):
        index = benchmark.task_index(["b", "a", "c", "c2"], {"c2": "c", "other": "a"})
        self.assertEqual(index, {"a": 0, "b": 1, "c": 2, "c2": 2, "other": 0})
        with self.assertRaisesRegex(ValueError, "'x' is to have the index of 'y'"):
            benchmark.task_index(["a"], {"x": "y"})

    def test_forms(self):
        self.assertLen(list(benchmark.forms()), 18)
        left = list(benchmark.forms(("", "taskless_"), models=("",)))
        self.assertEqual(
            left,
            [("", "", "_examples"), ("", "taskless_", "_examples")]
            + [("", "task_index_", suffix) for suffix in ("", "_examples")],
        )

    def test_variants(self):
        specs = {s.name: s for s in benchmark.variants("d_v1", "x/d:1.0.0", DATASET, 4)}
        self.assertLen(specs, 18)
        plain, taskless = specs["d_v1"], specs["mt5_taskless_d_v1_examples"]
        self.assertEqual((plain.dataset, plain.splits, plain.model), ("x/d:1.0.0", ("train",), ""))
        self.assertEqual(taskless.model, "mt5_")
        self.assertLen(plain.text, 1)
        self.assertIs(taskless.text[1], text_formats.remove_first_text_token)
        self.assertEqual(plain.metric_fns, (metrics.accuracy,))
        self.assertLen(taskless.metric_fns, 2)
        self.assertEqual([len(s.tokens) for s in (plain, taskless)], [0, 0])
        (sentinel,) = specs["task_index_d_v1"].tokens
        self.assertEqual(sentinel.keywords, {"field": "inputs", "offset": 4})

    def test_postprocessors(self):
        self.assertEqual(DATASET.postprocess_fn("yes"), 1)
        other = benchmark.Dataset("d", postprocess=postprocessors.identity)
        self.assertEqual(other.postprocess_fn("yes"), "yes")
        unmeasured = benchmark.Dataset("d", evaluated=False)
        for spec in benchmark.variants("d", "x/d:1.0.0", unmeasured, 0):
            self.assertIsNone(spec.postprocess)
            self.assertEmpty(spec.metric_fns)


if __name__ == "__main__":
    absltest.main()
