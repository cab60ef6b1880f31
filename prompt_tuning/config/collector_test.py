# SPDX-License-Identifier: Apache-2.0
"""Tests that the collector rests, and what it looks at afterwards."""

import gc
import weakref

from absl.testing import absltest

from prompt_tuning.config import collector


class _Node:
    """Refers to itself: only the collector frees it."""

    def __init__(self):
        self.itself = self


class CollectorTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(gc.unfreeze)
        self.addCleanup(gc.enable)
        gc.enable()
        gc.unfreeze()

    def test_rests_and_works_again(self):
        with collector.resting():
            self.assertFalse(gc.isenabled())
        self.assertTrue(gc.isenabled())

    def test_works_again_after_an_error(self):
        with self.assertRaisesRegex(ImportError, "no such module"), collector.resting():
            raise ImportError("no such module")
        self.assertTrue(gc.isenabled())

    def test_what_was_loaded_is_not_searched(self):
        with collector.resting():
            loaded = [{}]
        self.assertFalse(any(found is loaded for found in gc.get_objects()))

    def test_what_is_made_afterwards_is_collected(self):
        with collector.resting():
            pass
        node = weakref.ref(_Node())
        gc.collect()
        self.assertIsNone(node())

    def test_a_collector_that_is_off_stays_off(self):
        gc.disable()
        with collector.resting():
            pass
        self.assertFalse(gc.isenabled())
        self.assertEqual(gc.get_freeze_count(), 0)


if __name__ == "__main__":
    absltest.main()
