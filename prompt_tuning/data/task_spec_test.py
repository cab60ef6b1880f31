# SPDX-License-Identifier: Apache-2.0
import seqio
from absl.testing import absltest

from prompt_tuning.data import fixture_tfds, metrics, postprocessors, task_spec, token_noise


def _upper(dataset):
    return dataset


class TaskSpecTest(fixture_tfds.TfdsTestCase):
    def _spec(self, **options) -> task_spec.TaskSpec:
        return task_spec.TaskSpec("spec_task", "glue/sst2:2.0.0", (_upper,), **options)

    def test_order_of_the_steps(self):
        def names(**options):
            sentinel = (token_noise.add_sentinel_to_targets,)
            spec = self._spec(tokens=sentinel, after_eos=(_upper,), **options)
            task = spec.register(seqio.ByteVocabulary())
            return [getattr(p, "__name__", type(p).__name__) for p in task.preprocessors]

        start, end = ["_upper", "tokenize"], ["append_eos_after_trim", "_upper"]
        cache, tokens = "CacheDatasetPlaceholder", "add_sentinel_to_targets"
        self.assertEqual(names(), [*start, tokens, cache, *end])
        self.assertEqual(names(cache_before_tokens=True), [*start, cache, tokens, *end])
        self.assertEqual(names(cached=False), [*start, tokens, *end])

    def test_features_end_in_eos(self):
        task = self._spec().register(seqio.ByteVocabulary())
        for name, required in (("inputs", False), ("targets", True)):
            feature = task.output_features[name]
            self.assertEqual((feature.add_eos, feature.required), (True, required))

    def test_dataset_that_is_not_there(self):
        task = self._spec().register(seqio.ByteVocabulary())
        message = "glue/sst2:2.0.0, .*'spec_task'.* not prepared in .*--tfds_data_dir.*make_tfds"
        with self.assertRaisesRegex(FileNotFoundError, message):
            _ = task.splits
        with_splits = self._spec(splits=("train",)).register(seqio.ByteVocabulary())
        self.assertEqual(list(with_splits.splits), ["train"])
        with self.assertRaisesRegex(FileNotFoundError, message):
            with_splits.source.get_dataset("train")

    def test_vocabulary(self):
        t5, mt5, byt5 = (task_spec.default_vocabulary(model) for model in task_spec.MODELS)
        self.assertIn("cc_all.32000.100extra", t5.sentencepiece_model_file)
        self.assertIn("mc4.250000.100extra", mt5.sentencepiece_model_file)
        self.assertIsInstance(byt5, seqio.ByteVocabulary)
        ours = fixture_tfds.vocabulary()
        self.assertEqual(task_spec.seqio_vocabulary(self._spec(), ours), ours)
        self.assertIs(task_spec.seqio_vocabulary(self._spec(model="byt5_"), byt5), byt5)

    def test_bytes_need_bytes(self):
        spec = task_spec.MixtureSpec.equal("byt5_mix", ["a"], "byt5_")
        with self.assertRaisesRegex(ValueError, "'byt5_mix' is one of bytes.*--task to 'mix'"):
            task_spec.seqio_vocabulary(spec, fixture_tfds.vocabulary())

    def test_with_examples(self):
        got = task_spec.with_examples(
            "t", postprocessors.identity, (metrics.accuracy,), {"find_negative": False},
            example_fields=("x",),
        )  # fmt: skip
        prediction = got["postprocess"]("a", example={"x": 1})
        self.assertEqual(prediction, {"prediction": "a", "prediction_pretokenized": "a", "x": 1})
        accuracy, texts = got["metric_fns"]
        self.assertEqual(accuracy(["a"], [prediction]), {"accuracy": 100.0})
        shown = {**prediction, "inputs_pretokenized": "i", "targets_pretokenized": "a"}
        self.assertEqual(list(texts(["a"], [shown])), ["t samples"])

    def test_mixture(self):
        self._spec().register(seqio.ByteVocabulary())
        mixture = task_spec.MixtureSpec("mix_of_test", {"spec_task": 3.0})
        self.assertEqual(mixture.members, ("spec_task",))
        for _ in range(2):
            got = mixture.register(None)
        self.assertEqual(got.rate_per_task_name, {"spec_task": 3.0})


if __name__ == "__main__":
    absltest.main()
