# SPDX-License-Identifier: Apache-2.0
"""A million rows train in memory that holds their tokens and not their texts, and stays so."""

import json
import pathlib

from absl.testing import absltest

from prompt_tuning.bundled import world
from tests.end_to_end import programs, review_files

_ROWS = (10_000, 1_000_000)
# At most some 28 tokens of 4 bytes, row splits of 8 and an order of 8 bytes, and as much again
# while the parts are joined. Texts that are kept come on top: 100 bytes and an object of 49 each.
_MOST = 2 * (28 * 4 + 2 * 8 + 8) * _ROWS[1]
# Says what a command's peak of memory was, after running it.
_MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps({"code": done.returncode, "stderr": done.stderr, "peak": peak}))
"""
# Says how much memory is resident after the first batch of a file, and after each of so many thirds.
_BATCHES = """
import json, sys
from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.data import file_task, pipeline, tasks
vocabulary = SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)
row_format = file_task.RowFormat(label_words=("negative", "positive"))
tasks.register_file_task({"train": sys.argv[1]}, row_format, vocabulary, name="large")
lengths = {"inputs": 64, "targets": 4}
batches = pipeline.BatchIterator("large", lengths, "train", batch_size=50, seed=0)
resident = []
for number in range(int(sys.argv[2]) * 6_600 + 1):
    next(batches)
    if number % 6_600 == 0:
        lines = open("/proc/self/status").read().splitlines()
        (line,) = [line for line in lines if line.startswith("VmRSS:")]
        resident.append(int(line.split()[1]) * 1024)
print(json.dumps(resident))
"""


class LargeFileTest(absltest.TestCase):
    def test_memory_grows_with_the_tokens_alone(self):
        folder = programs.new_folder(type(self))
        peaks = []
        for rows in _ROWS:
            path = _write(folder, rows)
            flags = (
                f"--train_file={path}",
                f"--model_dir={folder / str(rows)}",
                "--train_steps=20",
            )
            command = programs.command("train", *flags, review_files.LABELS)
            result = programs.run_code(_MEASURE, *command, folder=folder)
            done = json.loads(result.stdout)
            self.assertEqual(done["code"], 0, done["stderr"])
            self.assertEqual(programs.summary(folder / str(rows))["train_examples"], rows)
            peaks.append(done["peak"])
        size = path.stat().st_size
        growth = peaks[1] - peaks[0]
        print(f"{size / 2**20:.0f} MiB of text cost {growth / 2**20:.0f} MiB of memory")
        self.assertLess(growth, _MOST)

    def test_memory_stays_while_batches_are_taken(self):
        folder = programs.new_folder(type(self))
        found = []
        for rows, thirds in zip(_ROWS, (0, 3), strict=True):
            path = _write(folder, rows)
            result = programs.run_code(_BATCHES, str(path), str(thirds), folder=folder)
            self.assertEqual(result.code, 0, result.stderr)
            found.append(json.loads(result.stdout))
        (few,), (first, *later) = found
        # No compiler's memory hides here what the rows take.
        print(f"{(first - few) / 2**20:.0f} MiB, then {[(n - first) / 2**20 for n in later]}")
        self.assertLess(first - few, _MOST)
        # 990,000 examples of some 100 bytes; what an allocator keeps is far less.
        for resident in later:
            self.assertLess(resident - first, 8 * 2**20)


def _write(folder: pathlib.Path, rows: int) -> pathlib.Path:
    """A TSV of `rows` different rows."""
    examples = world.classification_examples("train", 20_000)
    path = folder / f"rows_{rows}.tsv"
    with open(path, "w", encoding="utf-8") as file:
        file.write("text\tlabel\n")
        for number in range(rows):
            text, label = examples[number % len(examples)]
            file.write(f"{text} {number}\t{label}\n")
    return path


if __name__ == "__main__":
    absltest.main()
