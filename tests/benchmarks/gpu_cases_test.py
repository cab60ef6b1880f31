# SPDX-License-Identifier: Apache-2.0
"""The order, the medians and the table of a GPU's cases, with programs that only pretend to train."""

from absl.testing import absltest, parameterized

from tests.benchmarks import gpu_cases


class _Program:
    """Takes `seconds` a step, and has no memory for a batch above `most`."""

    def __init__(self, name, log, seconds=0.1, most=1000):
        self.name, self.log, self.seconds, self.most = name, log, seconds, most
        self.first_step = {"load": 1.0, "step": 2.0, "about": {name: "7"}}
        self.batch = 0

    def ask(self, command):
        self.log.append((self.name, command))
        word, *rest = command.split()
        if word == "batch":
            self.batch = int(rest[0])
            return {}
        if word == "peak":
            return {"bytes": 1, "device_bytes": self.batch * 10**9}
        if word == "matmul":
            return {"gflops": 1000.0 if self.name == gpu_cases.PEER else 2000.0}
        if self.batch > self.most:
            return {"out_of_memory": True}
        return {"wall": self.seconds * (1.5 if word == "wait" else 1.0)}

    def close(self):
        self.log.append((self.name, "close"))


class _Programs:
    def __init__(self, agree=True, **options):
        self.agree, self.options, self.log = agree, options, []
        self.requests = {}

    def start(self, side, name, **request):
        self.requests[name] = {"side": side, **request}
        self.log.append((name, "start"))
        return _Program(name, self.log, **self.options.get(name.partition(",")[0], {}))

    def check(self, name):
        return {"result": name}

    def differences(self, dtype, ours):
        self.log.append((ours, "compared"))
        if not self.agree:
            raise ValueError(f"{ours} differs in {dtype}")
        return {"logits": 0.01}

    def fixed_batch(self, batch):
        return str(batch)

    def minimum_gflop(self, batch):
        return 10.0 * batch


def _measure(programs, batches=(8, 2), **options):
    options = {"together": True, "scanned": False, **options}
    return list(gpu_cases.measure(programs, "bfloat16", batches, 3, **options))


class GpuCasesTest(parameterized.TestCase):
    def test_together_they_take_turns(self):
        programs = _Programs(peer={"seconds": 0.2})
        (measured,) = _measure(programs, (2,))
        passes = [name for name, command in programs.log if command.startswith("pass")]
        self.assertEqual(passes[-6:], ["ours", "peer"] * 3)
        seconds = measured["cases"][0]["seconds"]
        self.assertAlmostEqual(seconds["ours"]["pass"], 0.1)
        self.assertAlmostEqual(seconds["ours"]["wait"], 0.15)
        self.assertAlmostEqual(seconds["peer"]["pass"], 0.2)
        self.assertEqual(seconds["peer"]["device_bytes"], 2 * 10**9)

    def test_one_after_the_other_each_is_reported_and_closed_before_the_next(self):
        programs = _Programs()
        found = _measure(programs, (2,), together=False, scanned=True)
        self.assertLen(found, 3)
        order = [entry for entry in programs.log if entry[1] in ("start", "close")]
        names = [gpu_cases.OURS, gpu_cases.PEER, gpu_cases.SCANNED]
        self.assertEqual(order, [(name, what) for name in names for what in ("start", "close")])
        self.assertEqual(found[-1]["differences"].keys(), {gpu_cases.OURS, gpu_cases.SCANNED})
        self.assertTrue(programs.requests[gpu_cases.SCANNED]["scan_layers"])
        self.assertFalse(programs.requests[gpu_cases.OURS]["scan_layers"])
        self.assertEqual(programs.requests[gpu_cases.SCANNED]["side"], "ours")

    def test_nothing_is_timed_together_when_they_differ(self):
        programs = _Programs(agree=False)
        with self.assertRaisesRegex(ValueError, "ours differs in bfloat16"):
            _measure(programs)
        self.assertEmpty([c for _, c in programs.log if c.startswith("pass")])
        self.assertIn(("peer", "close"), programs.log)

    def test_what_runs_out_of_memory_is_not_asked_for_more(self):
        programs = _Programs(peer={"most": 4})
        (measured,) = _measure(programs, (16, 2, 8))
        self.assertEqual([case["batch"] for case in measured["cases"]], [2, 8, 16])
        self.assertEqual(measured["cases"][1]["seconds"]["peer"], {"out_of_memory": True})
        self.assertNotIn("peer", measured["cases"][2]["seconds"])
        self.assertIn("pass", measured["cases"][2]["seconds"]["ours"])
        self.assertIn("batch 8, peer: out of memory", gpu_cases.table("xl", measured))

    @parameterized.parameters((0.001, 50), (0.125, 4), (9.0, 3))
    def test_a_pass_has_steps_for_half_a_second(self, seconds, steps):
        log = []
        gpu_cases.timed([_Program("ours", log, seconds)], 1)
        self.assertIn(("ours", f"pass {steps}"), log)

    def test_the_table_has_the_share_of_the_best_rate(self):
        text = gpu_cases.table("xl", _measure(_Programs(peer={"seconds": 0.2}))[-1])
        self.assertIn("one product: 2 TFLOP/s", text)
        # 80 GFLOP in 0.1 s, of 2000 GFLOP/s.
        self.assertIn(
            "batch 8, ours: 100.0 ms (150.0 with a wait), 40% of the card, peak 8.0 GB, 2.00x PEFT",
            text,
        )


if __name__ == "__main__":
    absltest.main()
