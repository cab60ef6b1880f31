# SPDX-License-Identifier: Apache-2.0
import io
import os

import hypothesis
from absl.testing import absltest
from hypothesis import strategies

from prompt_tuning.runs import live_input


class LiveInputTest(absltest.TestCase):
    def pipe(self):
        read, write = os.pipe()
        stream = os.fdopen(read, "rb", buffering=0)
        self.addCleanup(stream.close)
        return live_input.LiveInput(stream), write

    @hypothesis.settings(max_examples=200, deadline=None)
    @hypothesis.given(strategies.binary(max_size=60), strategies.integers(-1, 9))
    def test_lines_are_those_of_any_stream(self, content, limit):
        limit = limit or -1
        expected, live = io.BytesIO(content), live_input.LiveInput(io.BytesIO(content))
        while line := expected.readline(limit):
            self.assertEqual(live.readline(limit), line)
        self.assertEqual(live.readline(limit), b"")

    def test_the_next_line_can_be_looked_at(self):
        live = live_input.LiveInput(io.BytesIO(b"one\ntwo"))
        self.assertEqual([live.peek_line(), live.peek_line()], [b"one\n", b"one\n"])
        self.assertEqual(
            [live.readline(), live.peek_line(), live.readline()], [b"one\n", b"two", b"two"]
        )
        self.assertEqual(live.peek_line(), b"")
        endless = live_input.LiveInput(io.BytesIO(b"x" * 9))
        self.assertEqual([endless.peek_line(4), endless.readline()], [b"xxxx", b"x" * 9])

    def test_would_wait_only_for_whoever_writes(self):
        live, write = self.pipe()
        self.assertTrue(live.would_wait())
        os.write(write, b"one\ntwo\nthr")
        self.assertFalse(live.would_wait())
        self.assertEqual(live.readline(), b"one\n")
        self.assertFalse(live.would_wait())
        self.assertEqual(live.readline(), b"two\n")
        self.assertTrue(live.would_wait())
        os.close(write)
        self.assertFalse(live.would_wait())
        self.assertEqual(live.readline(), b"thr")
        self.assertFalse(live.would_wait())

    def test_pieces_end_where_the_input_pauses(self):
        live, write = self.pipe()
        os.write(write, b"1\n2\n3\n")
        pieces = live_input.pieces(iter(live.readline, b""), live, 2)
        self.assertEqual(next(pieces), [b"1\n", b"2\n"])
        self.assertEqual(next(pieces), [b"3\n"])
        os.write(write, b"4\n")
        os.close(write)
        self.assertEqual(list(pieces), [[b"4\n"]])


if __name__ == "__main__":
    absltest.main()
