# SPDX-License-Identifier: Apache-2.0
"""A long stream of rows of every kind: in order, each with its own answer, in flat memory."""

import os
import resource
import time

import jax
import numpy as np
from absl import logging
from absl.testing import absltest

from prompt_tuning.inference import predictor, prompt_bank, toy_predictor

jax.config.update("jax_numpy_rank_promotion", "raise")

ROWS = 100_000
WARM = 20_000  # Rows after which memory must not grow any more.
LABELS = ["yes", "no", "maybe"]
NAMES = "abcdefgh"
TEXTS = toy_predictor.make_texts(np.random.RandomState(0).randint(1, 31, size=97))
KINDS = {11: "too_long", 23: "unknown_prompt", 47: "empty"}
PERIOD = 61  # Every so many rows there is one bad row of each kind.


def make_row(place):
    """The same rows whenever they are asked for."""
    text, name = TEXTS[place % len(TEXTS)], NAMES[place % len(NAMES)]
    match KINDS.get(place % PERIOD):
        case "too_long":
            return predictor.Request(text + "x" * 40, name)
        case "unknown_prompt":
            return predictor.Request(text, "nobody")
        case "empty":
            return predictor.Request("  ", name)
    return predictor.Request(text, name)


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize()


class LongStreamTest(absltest.TestCase):
    def test_flat_memory_and_every_row_its_answer(self):
        if not os.path.exists("/proc/self/statm"):
            self.skipTest("the test reads its memory from /proc, which this system lacks")
        bank = prompt_bank.PromptBank(toy_predictor.H, max_length=4)
        for name, value in zip(NAMES, toy_predictor.make_prompts([4, 3, 2, 1] * 2), strict=True):
            bank.add(name, 3 * value)
        made = toy_predictor.make_predictor(prompts=bank, batch_size=256, report_bad_rows=True)
        stream = made.score_labels_stream(map(make_row, range(ROWS)), LABELS)
        first, errors, count, warm, most = {}, 0, 0, 0, 0
        started = time.monotonic()
        for place, answer in enumerate(stream):
            count += 1
            if isinstance(answer, predictor.RowError):
                self.assertEqual(answer.kind, KINDS.get(place % PERIOD))
                errors += 1
            else:
                self.assertNotIn(place % PERIOD, KINDS)
                # Equal rows come again and again, among other rows each time.
                key = place % (len(TEXTS) * len(NAMES))
                np.testing.assert_allclose(answer, first.setdefault(key, answer), atol=1e-4)
            if place == WARM:
                warm = resident_bytes()
            if place > WARM and place % 5_000 == 0:
                most = max(most, resident_bytes())
        logging.info(
            "%d rows in %.1f s; memory after %d rows %.0f MB, at most %.0f MB later",
            count, time.monotonic() - started, WARM, warm / 1e6, most / 1e6,
        )  # fmt: skip
        self.assertEqual(count, ROWS)
        self.assertEqual(errors, sum(place % PERIOD in KINDS for place in range(ROWS)))
        self.assertLess(most - warm, 32e6)


if __name__ == "__main__":
    absltest.main()
