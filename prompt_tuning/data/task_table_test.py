# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

import seqio
from absl.testing import absltest

from prompt_tuning.data import fixture_tasks, fixture_tfds, task_spec, task_table

_NAMES = os.path.join(
    os.path.dirname(__file__), "..", "..", "tests", "testdata", "upstream_task_names.txt"
)
# T5's own tasks, which upstream takes from the `t5` package.
_PREFIXES = ("", "mt5_", "byt5_")
_GLUE = "cola sst2 mrpc qqp stsb mnli mnli_mismatched mnli_matched qnli rte wnli ax".split()
_SUPER_GLUE = "boolq cb copa multirc record rte wic axb axg".split()
_T5 = (
    [f"glue_{name}_v002" for name in _GLUE]
    + [f"super_glue_{name}_v102" for name in _SUPER_GLUE]
    + [f"super_glue_wsc_v102_simple_{part}" for part in ("train", "eval")]
    + ["dpr_v001_simple"]
)


class TaskTableTest(absltest.TestCase):
    def tearDown(self):
        for name in task_table.specs():
            seqio.TaskRegistry.remove(name)
            seqio.MixtureRegistry.remove(name)
        task_table._registered.clear()
        super().tearDown()

    def test_names_are_those_of_upstream_and_t5(self):
        with open(_NAMES, encoding="utf-8") as file:
            upstream = file.read().split()
        self.assertGreater(len(upstream), 800)
        expected = {*upstream, *(prefix + name for prefix in _PREFIXES for name in _T5)}
        self.assertEqual(set(task_table.specs()) - expected, set())
        self.assertEqual(expected - set(task_table.specs()), set())

    def test_everything_can_be_registered(self):
        for name in task_table.specs():
            task_table.register(name)
            self.assertEqual(seqio.get_mixture_or_task(name).name, name)

    def test_import_registers_nothing(self):
        program = (
            "import seqio; from prompt_tuning.data import tasks, glue, spot;"
            "print(len(seqio.TaskRegistry.names()) + len(seqio.MixtureRegistry.names()))"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        )
        self.assertEqual(done.stdout.decode().split()[-1], "0")

    def test_only_what_is_needed_is_registered(self):
        task_table.register("taskless_glue_mnli_and_dev_v200_examples")
        ours = set(task_table.specs())
        self.assertLen(ours & set(seqio.TaskRegistry.names()), 3)
        self.assertLen(ours & set(seqio.MixtureRegistry.names()), 1)

    def test_the_runs_vocabulary_replaces_another(self):
        name = "taskless_glue_mnli_and_dev_v200_examples"
        for vocabulary in (fixture_tfds.vocabulary(), fixture_tasks.vocabulary()):
            task_table.register(name, vocabulary)
            first = seqio.get_mixture_or_task(name)
            for task in first.tasks:
                self.assertEqual(task.output_features["inputs"].vocabulary, vocabulary)
            for same in (vocabulary, None):
                task_table.register(name, same)
                self.assertIs(seqio.get_mixture_or_task(name), first)

    def test_a_task_of_someone_else_stays(self):
        task = fixture_tasks.register_plain("glue_sst2_v002")
        task_table.register("glue_sst2_v002", fixture_tfds.vocabulary())
        self.assertIs(seqio.get_mixture_or_task("glue_sst2_v002"), task)

    def test_members_exist(self):
        specs = task_table.specs()
        for spec in specs.values():
            for member in spec.members:
                self.assertIsInstance(specs[member], task_spec.TaskSpec, spec.name)
                self.assertEqual(specs[member].model, spec.model)


if __name__ == "__main__":
    absltest.main()
