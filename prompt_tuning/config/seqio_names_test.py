# SPDX-License-Identifier: Apache-2.0
"""Tests of the settings that gin files make under the name `seqio`."""

from absl.testing import absltest, parameterized

from prompt_tuning.config import seqio_names


class SeqioNamesTest(parameterized.TestCase):
    def test_loggers_are_made_with_their_settings(self):
        def three():
            return seqio_names.JSONLogger(write_n_results=3)

        evaluator = seqio_names.Evaluator(logger_cls=(seqio_names.PyLoggingLogger, three))
        self.assertEqual(
            evaluator.loggers(), [seqio_names.PyLoggingLogger(), seqio_names.JSONLogger(3)]
        )

    def test_options_of_an_evaluation(self):
        everything = {"num_examples": None, "write_n_results": None}
        everything |= {"write_json": True, "write_tensorboard": True}
        self.assertEqual(seqio_names.Evaluator().options(), everything)
        some = seqio_names.Evaluator(
            logger_cls=[lambda: seqio_names.JSONLogger(write_n_results=3)], num_examples=7
        )
        self.assertEqual(
            some.options(),
            {
                "num_examples": 7,
                "write_n_results": 3,
                "write_json": True,
                "write_tensorboard": False,
            },
        )
        none = seqio_names.Evaluator(logger_cls=[])
        self.assertFalse(none.options()["write_json"])

    def test_defaults_are_those_of_t5x(self):
        evaluator = seqio_names.Evaluator()
        self.assertIsNone(evaluator.num_examples)
        self.assertTrue(evaluator.use_memory_cache)
        self.assertLen(evaluator.loggers(), 3)

    @parameterized.parameters(
        (seqio_names.Evaluator, {"num_examples": 0}, "EVALUATOR_NUM_EXAMPLES"),
        (seqio_names.JSONLogger, {"write_n_results": -1}, "JSON_WRITE_N_RESULTS"),
    )
    def test_wrong_numbers_name_their_macro(self, cls, arguments, macro):
        with self.assertRaisesRegex(ValueError, macro):
            cls(**arguments)

    def test_none_and_zero_results_may_be_written(self):
        self.assertEqual(seqio_names.JSONLogger(0).write_n_results, 0)

    @parameterized.parameters(
        (None, [5, 1, 6], [5, 1, 6]), (1, [5, 1, 6], [5, 1]), (1, [5, 6], [5, 6])
    )
    def test_pass_through(self, eos_id, ids, decoded):
        vocabulary = seqio_names.PassThroughVocabulary(size=10, eos_id=eos_id)
        self.assertEqual(vocabulary.encode(ids), ids)
        self.assertEqual(vocabulary.decode(ids), decoded)
        self.assertEqual(vocabulary.vocab_size, 10)


if __name__ == "__main__":
    absltest.main()
