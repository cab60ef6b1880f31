# SPDX-License-Identifier: Apache-2.0
import fcntl
import json
import os
from unittest import mock

import hypothesis
from absl.testing import absltest
from hypothesis import strategies

from prompt_tuning.inference import resumable_file

SETTINGS = {"mode": "predict", "labels": ["a", "b"]}


def record(row):
    return {"inputs": {"text": row}, "prediction": row * 2}


class ResumableFileTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.create_tempdir().full_path
        self.path = os.path.join(self.folder, "answers", "out.jsonl")

    def run_on(self, rows, stop=None, settings=SETTINGS):
        """Answers rows; stops with an error after `stop` of them."""
        stream, answered = iter(rows), []
        with resumable_file.open_resumable(self.path, settings, sync_every=2) as file:
            file.skip(stream, lambda row: {"text": row})
            for row in stream:
                if len(answered) == stop:
                    raise InterruptedError
                answered.append(row)
                file.write(record(row))
        return answered

    def names(self):
        return sorted(os.listdir(os.path.dirname(self.path)))

    def read(self):
        with open(self.path, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def leave(self, text):
        """What an earlier run left."""
        os.makedirs(os.path.dirname(self.path))
        with open(self.path + ".partial", "w", encoding="utf-8") as stream:
            stream.write(text)

    def test_a_run_that_is_not_disturbed(self):
        self.assertEqual(self.run_on("abc"), list("abc"))
        self.assertEqual(self.read(), [record(row) for row in "abc"])
        self.assertEqual(self.names(), ["out.jsonl"])

    def test_two_runs_at_once(self):
        with resumable_file.open_resumable(self.path, SETTINGS) as file:
            file.write(record("a"))
            with self.assertRaisesRegex(
                ValueError, "out.jsonl.partial is being written by another"
            ):
                self.run_on("ab")
            file.write(record("b"))
        self.assertEqual(self.read(), [record(row) for row in "ab"])

    def test_no_rows(self):
        self.run_on("")
        self.assertEqual(self.read(), [])

    @hypothesis.settings(max_examples=25, deadline=None)
    @hypothesis.given(
        count=strategies.integers(1, 6),
        # After so many rows of a run the process dies, and so many bytes never reach the disk.
        deaths=strategies.lists(
            strategies.tuples(strategies.integers(0, 3), strategies.integers(0, 99)), max_size=3
        ),
    )
    def test_no_row_is_lost_and_none_is_there_twice(self, count, deaths):
        rows = [f"row {i} é" for i in range(count)]
        self.path = os.path.join(self.create_tempdir().full_path, "out.jsonl")
        partial = self.path + ".partial"
        for stop, lost in deaths:
            try:
                self.run_on(rows, stop)
                break
            except InterruptedError:
                if os.path.exists(partial):
                    os.truncate(partial, max(0, os.path.getsize(partial) - lost))
        self.run_on(rows)
        self.assertEqual(self.read(), [record(row) for row in rows])
        self.assertEqual(self.names(), ["out.jsonl"])

    def test_earlier_answers_are_kept(self):
        with self.assertRaises(InterruptedError):
            self.run_on("abcde", stop=3)
        self.assertEqual(self.run_on("abcde"), ["d", "e"])

    def test_an_error_before_the_first_record_leaves_nothing(self):
        with self.assertRaises(InterruptedError):
            self.run_on("abc", stop=0)
        self.assertEqual(self.names(), [])

    def test_other_settings_are_refused(self):
        with self.assertRaises(InterruptedError):
            self.run_on("abc", stop=1)
        with self.assertRaisesRegex(
            ValueError, r"partial was begun with other settings \(labels was \['a', 'b'\] and is"
        ):
            self.run_on("abc", settings={**SETTINGS, "labels": ["a"]})

    def test_other_rows_are_refused(self):
        with self.assertRaises(InterruptedError):
            self.run_on("abc", stop=2)
        for rows in ("aXc", "a"):
            with self.assertRaisesRegex(ValueError, "partial:2 answers another row"):
                self.run_on(rows)
        self.assertEqual(self.run_on("abc"), ["c"])

    def test_other_settings_are_taken_where_no_record_is(self):
        self.leave("")  # Killed before its first record.
        with open(self.path + ".partial.settings", "w", encoding="utf-8") as stream:
            stream.write("{}")
        self.assertEqual(self.run_on("abc"), ["a", "b", "c"])

    def test_records_without_settings_are_not_gone_on_with(self):
        self.leave('{"inputs": {}}\n')
        self.assertEqual(self.run_on("abc"), ["a", "b", "c"])

    def test_a_file_that_another_run_completes_meanwhile(self):
        lock = fcntl.flock

        def late(stream, operation):
            os.replace(self.path + ".partial", self.path)  # The other run, just before its end.
            lock(stream, operation)

        self.leave("complete\n")
        with mock.patch.object(fcntl, "flock", late):
            with self.assertRaisesRegex(ValueError, "being written by another run"):
                self.run_on("abc")
        with open(self.path, encoding="utf-8") as stream:
            self.assertEqual(stream.read(), "complete\n")

    def test_a_complete_file_is_replaced_at_the_end(self):
        self.run_on("abc")
        with self.assertRaises(InterruptedError):
            self.run_on("xyz", stop=1)
        self.assertEqual(self.read(), [record(row) for row in "abc"])
        self.run_on("xyz")
        self.assertEqual(self.read(), [record(row) for row in "xyz"])

    def test_marks(self):
        mark = os.path.join(self.folder, "mark")
        self.assertFalse(resumable_file.is_complete(self.path, mark, SETTINGS))
        self.run_on("a")
        with open(mark, "w", encoding="utf-8") as stream:
            stream.write(resumable_file.mark_text(SETTINGS))
        self.assertTrue(resumable_file.is_complete(self.path, mark, SETTINGS))
        self.assertFalse(resumable_file.is_complete(self.path, mark, {}))
        os.remove(self.path)
        self.assertFalse(resumable_file.is_complete(self.path, mark, SETTINGS))


if __name__ == "__main__":
    absltest.main()
