# SPDX-License-Identifier: Apache-2.0
"""Tests of the signal guard with real signals to this process."""

import os
import signal
import threading

from absl.testing import absltest, parameterized

from prompt_tuning.training import interruption


class InterruptionGuardTest(parameterized.TestCase):
    @parameterized.parameters(signal.SIGINT, signal.SIGTERM)
    def test_the_first_signal_is_remembered(self, number):
        before = signal.getsignal(number)
        with interruption.InterruptionGuard() as guard:
            self.assertIsNone(guard.received)
            os.kill(os.getpid(), number)
            self.assertEqual(guard.received, number)
        self.assertEqual(signal.getsignal(number), before)

    def test_the_second_ctrl_c_acts_as_usual(self):
        with self.assertRaises(KeyboardInterrupt):
            with interruption.InterruptionGuard():
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    def test_handlers_come_back_after_an_exception(self):
        before = signal.getsignal(signal.SIGTERM)
        with self.assertRaises(RuntimeError):
            with interruption.InterruptionGuard():
                raise RuntimeError
        self.assertEqual(signal.getsignal(signal.SIGTERM), before)

    def test_changes_nothing_outside_the_main_thread(self):
        before = signal.getsignal(signal.SIGTERM)
        during = []

        def enter():
            with interruption.InterruptionGuard() as guard:
                during.append((signal.getsignal(signal.SIGTERM), guard.received))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        self.assertEqual(during, [(before, None)])


if __name__ == "__main__":
    absltest.main()
