# SPDX-License-Identifier: Apache-2.0
"""A file of a million rows trains in memory that holds its tokens and not its texts."""

import json

from absl.testing import absltest

from prompt_tuning.bundled import world
from tests.end_to_end import programs, review_files

_ROWS = (10_000, 1_000_000)
# Says what a command's peak of memory was, after running it.
_MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps({"code": done.returncode, "stderr": done.stderr, "peak": peak}))
"""


class LargeFileTest(absltest.TestCase):
    def test_memory_grows_with_the_tokens_alone(self):
        folder = programs.new_folder(type(self))
        examples = world.classification_examples("train", 20_000)
        peaks = []
        for rows in _ROWS:
            path = folder / f"rows_{rows}.tsv"
            with open(path, "w", encoding="utf-8") as file:
                file.write("text\tlabel\n")
                for number in range(rows):
                    text, label = examples[number % len(examples)]
                    file.write(f"{text} {number}\t{label}\n")
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
        # At most some 28 tokens of 4 bytes, row splits of 8 and an order of 8 bytes, and as much
        # again while the parts are joined.
        self.assertLess(growth, 2 * (28 * 4 + 2 * 8 + 8) * _ROWS[1])


if __name__ == "__main__":
    absltest.main()
