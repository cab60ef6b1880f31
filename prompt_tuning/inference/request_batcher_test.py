# SPDX-License-Identifier: Apache-2.0
import threading
import time
from concurrent import futures

from absl.testing import absltest, parameterized

from prompt_tuning.inference import request_batcher, toy_predictor

WAIT = 20  # Seconds after which a test that hangs fails.


class Echo:
    """Answers each row with itself and remembers the batches; can be held up."""

    def __init__(self):
        self.batches = []
        self.go = threading.Event()
        self.go.set()
        self.busy = threading.Event()

    def __call__(self, rows):
        self.busy.set()
        self.go.wait(WAIT)
        self.batches.append(list(rows))
        if "bad" in rows:
            raise ValueError("a bad row")
        return [f"{row}!" for row in rows]

    def hold(self, batcher):
        """Keeps the thread busy with a batch until `go` is set."""
        self.go.clear()
        first = batcher.submit("held")
        self.busy.wait(WAIT)
        return first


class RequestBatcherTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.echo = Echo()

    def test_one_request_does_not_wait_for_others(self):
        with request_batcher.RequestBatcher(self.echo, 32, 0.01) as batcher:
            self.assertEqual(batcher.submit("a").result(WAIT), "a!")

    def test_what_comes_while_busy_is_one_batch(self):
        with request_batcher.RequestBatcher(self.echo, 4, 0.0) as batcher:
            held = self.echo.hold(batcher)
            answers = [batcher.submit(str(i)) for i in range(6)]
            self.echo.go.set()
            self.assertEqual([a.result(WAIT) for a in answers], [f"{i}!" for i in range(6)])
            self.assertEqual(held.result(WAIT), "held!")
        self.assertEqual(self.echo.batches, [["held"], list("0123"), list("45")])

    def test_a_full_batch_goes_before_its_time(self):
        with request_batcher.RequestBatcher(self.echo, 2, 10 * WAIT) as batcher:
            started = time.monotonic()
            answers = [batcher.submit("a"), batcher.submit("b")]
            futures.wait(answers, WAIT)
            self.assertLess(time.monotonic() - started, WAIT)
            self.assertEqual(answers[1].result(WAIT), "b!")

    def test_an_exception_reaches_every_row_of_its_batch_only(self):
        with request_batcher.RequestBatcher(self.echo, 2, 0.0) as batcher:
            self.echo.hold(batcher)
            answers = [batcher.submit(row) for row in ("a", "bad", "b", "c")]
            self.echo.go.set()
            for answer in answers[:2]:
                with self.assertRaisesRegex(ValueError, "a bad row"):
                    answer.result(WAIT)
            self.assertEqual([a.result(WAIT) for a in answers[2:]], ["b!", "c!"])

    def test_too_few_answers(self):
        with request_batcher.RequestBatcher(lambda rows: [], 2, 0.0) as batcher:
            with self.assertRaisesRegex(RuntimeError, "1 rows got 0 answers"):
                batcher.submit("a").result(WAIT)

    def test_cancelled_rows_are_not_answered(self):
        with request_batcher.RequestBatcher(self.echo, 4, 0.0) as batcher:
            self.echo.hold(batcher)
            cancelled, kept = batcher.submit("a"), batcher.submit("b")
            self.assertTrue(cancelled.cancel())
            self.echo.go.set()
            self.assertEqual(kept.result(WAIT), "b!")
        self.assertEqual(self.echo.batches, [["held"], ["b"]])

    def test_closing_answers_what_is_there_and_takes_no_more(self):
        batcher = request_batcher.RequestBatcher(self.echo, 4, 0.0)
        self.echo.hold(batcher)
        answer = batcher.submit("a")
        self.echo.go.set()
        batcher.close()
        batcher.close()
        self.assertEqual(answer.result(0), "a!")
        with self.assertRaisesRegex(RuntimeError, "closed"):
            batcher.submit("b")

    @parameterized.parameters((0, 0.1), (1, -0.1))
    def test_numbers_out_of_range(self, size, wait):
        with self.assertRaisesRegex(ValueError, f"{size} and max_wait_s {wait}"):
            request_batcher.RequestBatcher(self.echo, size, wait)

    def test_threads_get_the_answers_to_their_own_rows(self):
        made = toy_predictor.make_predictor(report_bad_rows=True)
        texts = [*toy_predictor.make_texts([n % 9 + 1 for n in range(24)]), ""]
        expected = made.predict(texts)
        calls = []

        def answer(rows):
            calls.append(len(rows))
            return made.predict(rows)

        with request_batcher.RequestBatcher(answer, 8, 0.05) as batcher:
            with futures.ThreadPoolExecutor(len(texts)) as pool:
                got = list(pool.map(lambda text: batcher.submit(text).result(WAIT), texts))
        self.assertEqual(
            [getattr(answer, "text", answer) for answer in got],
            [getattr(answer, "text", answer) for answer in expected],
        )
        self.assertLess(len(calls), len(texts))


if __name__ == "__main__":
    absltest.main()
