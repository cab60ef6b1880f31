# SPDX-License-Identifier: Apache-2.0
import os
import threading

import jax
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.inference import compilations, prompt_bank, toy_predictor

jax.config.update("jax_numpy_rank_promotion", "raise")

H = toy_predictor.H
make_prompts = toy_predictor.make_prompts


def values_of(bank, name):
    """The real positions of one prompt, as a batch sees them."""
    table = bank.snapshot()
    picked = table.pick(np.array([table.slots[name]]))
    return np.asarray(picked["prompt"])[0][np.asarray(picked["prompt_live"])[0]]


class PromptBankTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.bank = prompt_bank.PromptBank(H, max_length=5, capacity=2)

    def test_prompts_of_all_lengths(self):
        prompts = dict(zip("abcdef", make_prompts([5, 0, 1, 3, 4, 2]), strict=True))
        for name, value in prompts.items():
            self.bank.add(name, value)
        self.assertEqual(self.bank.names, tuple("abcdef"))
        for name, value in prompts.items():
            np.testing.assert_array_equal(values_of(self.bank, name), value)

    def test_slots_double(self):
        capacities = []
        for name, value in zip("abcde", make_prompts([5] * 5), strict=True):
            self.bank.add(name, value)
            capacities.append(self.bank.capacity)
        self.assertEqual(capacities, [2, 2, 4, 4, 8])

    def test_replace_changes_one(self):
        old, other, new = make_prompts([5, 3, 2])
        self.bank.add("a", old)
        self.bank.add("b", other)
        self.bank.replace("a", new)
        np.testing.assert_array_equal(values_of(self.bank, "a"), new)
        np.testing.assert_array_equal(values_of(self.bank, "b"), other)

    def test_a_slot_is_used_again(self):
        first, second, third = make_prompts([5, 3, 2])
        self.bank.add("a", first)
        self.bank.add("b", second)
        self.bank.remove("a")
        self.assertEqual(self.bank.names, ("b",))
        self.bank.add("c", third)
        self.assertEqual(self.bank.capacity, 2)
        np.testing.assert_array_equal(values_of(self.bank, "c"), third)

    def test_a_snapshot_stays_as_it_was(self):
        old, new = make_prompts([5, 4])
        self.bank.add("a", old)
        table = self.bank.snapshot()
        self.bank.replace("a", new)
        self.bank.add("b", new)
        self.assertNotIn("b", table.slots)
        np.testing.assert_array_equal(table.pick(np.array([0]))["prompt"][0], old)

    def test_changes_compile_nothing_while_slots_last(self):
        bank = prompt_bank.PromptBank(H, max_length=7, capacity=4)
        prompts = make_prompts([7, 1, 0, 3, 5, 7])
        bank.add("first", prompts[0])
        bank.snapshot().pick(np.array([0, 0, 0]))
        with compilations.counted() as compiled:
            for name, value in zip("abc", prompts, strict=False):
                bank.add(name, value)
            bank.replace("a", prompts[3])
            bank.replace("b", jax.device_put(prompts[4]))
            bank.remove("c")
            bank.add("d", prompts[5])
            bank.snapshot().pick(np.array([3, 0, 2]))
        self.assertEmpty(compiled)
        with compilations.counted() as compiled:
            bank.add("more than capacity", prompts[0])
        self.assertNotEmpty(compiled)

    def test_load(self):
        (value,) = make_prompts([4])
        path = os.path.join(self.create_tempdir(), "prompt.npy")
        np.save(path, value)
        self.bank.load("a", path)
        np.testing.assert_array_equal(values_of(self.bank, "a"), value)
        with self.assertRaisesRegex(FileNotFoundError, "nothing.npy"):
            self.bank.load("b", path.replace("prompt", "nothing"))

    @parameterized.parameters(((6, H),), ((3, H + 1),), ((H,),), ((1, 3, H),))
    def test_shapes_that_do_not_fit(self, shape):
        with self.assertRaisesRegex(ValueError, r"'a'.*\(n, 8\) with n at most 5.*max_length"):
            self.bank.add("a", np.zeros(shape))
        self.assertEqual(self.bank.names, ())

    def test_names(self):
        (value,) = make_prompts([4])
        self.bank.add("sst2", value)
        with self.assertRaisesRegex(ValueError, "already has a prompt 'sst2'.*replace"):
            self.bank.add("sst2", value)
        for change in (self.bank.remove, lambda name: self.bank.replace(name, value)):
            with self.assertRaisesRegex(ValueError, "'sst'.*1 that are loaded.*nearest are sst2"):
                change("sst")

    @parameterized.parameters({"width": 0}, {"max_length": 0}, {"capacity": 0})
    def test_sizes_must_be_positive(self, **sizes):
        with self.assertRaisesRegex(ValueError, "is 0; it must be at least 1"):
            prompt_bank.PromptBank(**{"width": H, **sizes})

    def test_threads_change_it_together(self):
        prompts = make_prompts([5] * 12)

        def work(index):
            self.bank.add(f"kept {index}", prompts[index])
            self.bank.add(f"dropped {index}", prompts[index])
            self.bank.remove(f"dropped {index}")

        threads = [threading.Thread(target=work, args=(index,)) for index in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLen(self.bank.names, 12)
        for index, value in enumerate(prompts):
            np.testing.assert_array_equal(values_of(self.bank, f"kept {index}"), value)


if __name__ == "__main__":
    absltest.main()
