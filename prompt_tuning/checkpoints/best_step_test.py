# SPDX-License-Identifier: Apache-2.0
import os

from absl.testing import absltest

from prompt_tuning.checkpoints import best_step


class BestStepTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.create_tempdir().full_path
        for step in (1, 2, 3):
            os.makedirs(self._path(step))
            self._touch(step, "checkpoint")

    def _path(self, step, *names):
        return os.path.join(self.folder, f"checkpoint_{step}", *names)

    def _touch(self, step, name):
        with open(self._path(step, name), "w", encoding="utf-8"):
            pass

    def pinned(self):
        return [step for step in (1, 2, 3) if os.path.exists(self._path(step, "PINNED"))]

    def test_the_pin_moves(self):
        self.assertIsNone(best_step.read(self.folder))
        for step in (1, 3, 2):
            best_step.write(self.folder, {"best_step": step, "more": [1]})
            self.assertEqual(self.pinned(), [step])
            self.assertEqual(best_step.read(self.folder), {"best_step": step, "more": [1]})

    def test_pins_of_others_stay(self):
        self._touch(1, "PINNED")
        self._touch(2, "PINNED")
        best_step.write(self.folder, {"best_step": 2})
        best_step.write(self.folder, {"best_step": 3})
        self.assertEqual(self.pinned(), [1, 2, 3])

    def test_a_best_step_without_a_checkpoint(self):
        best_step.write(self.folder, {"best_step": 7})
        self.assertEqual(best_step.read(self.folder), {"best_step": 7})
        self.assertEqual(self.pinned(), [])

    def test_a_damaged_record(self):
        for text in ("{", "[]", '{"best_step": null}'):
            with open(os.path.join(self.folder, best_step.FILE), "w", encoding="utf-8") as file:
                file.write(text)
            with self.assertRaisesRegex(ValueError, "not the record of a best prompt.*delete it"):
                best_step.read(self.folder)


if __name__ == "__main__":
    absltest.main()
