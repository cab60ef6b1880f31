# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import os
import re

import numpy as np
import sentencepiece
from absl.testing import absltest, flagsaver, parameterized

from prompt_tuning.checkpoints import t5x_format, toy_t5
from tools.checkpoints import command_line
from tools.prompts import inspect_prompt

H, PIECES = 6, 40
CORPUS = ["a fine film about fine people", "the plot is thin but the music is good"] * 20


def train_vocabulary():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=model,
        vocab_size=PIECES,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


class InspectPromptTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = train_vocabulary()

    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.pieces = sentencepiece.SentencePieceProcessor(model_proto=self.model)
        count = self.pieces.get_piece_size()
        random = np.random.default_rng(0)
        self.embedding = random.normal(size=(count + 8, H)).astype(np.float32)
        t5x_format.write_checkpoint(self.root, 3, {"token_embedder/embedding": self.embedding})
        with open(self.path("vocabulary"), "wb") as stream:
            stream.write(self.model)
        # Positions that are pieces, scaled; and one that is a padding row, which is no piece.
        self.ids = [5, 9, 12]
        self.prompt = np.concatenate([2 * self.embedding[self.ids], self.embedding[-1:]])
        np.save(self.path("first.npy"), self.prompt)
        np.save(self.path("second.npy"), self.embedding[self.ids])

    def path(self, name):
        return os.path.join(self.root, name)

    def inspect(self, *argv, **values):
        """The exit status, standard output and standard error."""
        defaults = {
            "prompt": [f"first={self.path('first.npy')}"],
            "initial": [],
            "base_model": None,
            "checkpoint_dir": self.root,
            "embedding_file": None,
            "vocabulary": self.path("vocabulary"),
            "nearest": 2,
            "html": None,
        }
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            with flagsaver.flagsaver(**(defaults | values)):
                status = command_line.status(inspect_prompt.main, ["inspect_prompt", *argv])
        return status, out.getvalue(), err.getvalue()

    def test_table_names_the_piece_that_a_position_is(self):
        status, out, _ = self.inspect()
        self.assertEqual(status, 0)
        rows = [line for line in out.splitlines() if re.match(r"│\s+\d", line)]
        self.assertLen(rows, 4)
        for row, i in zip(rows, self.ids, strict=False):
            self.assertIn(f"{self.pieces.id_to_piece(i)} 1.00", row)
        self.assertNotIn("1.00", rows[3])
        self.assertNotIn("drift", out)
        self.assertIn(f"{np.linalg.norm(self.prompt[0]):.3g}", rows[0])

    def test_drift_and_similarity(self):
        both = [f"{name}={self.path(name)}.npy" for name in ("first", "second")]
        np.save(self.path("start"), self.prompt - 3 / np.sqrt(H))
        status, out, _ = self.inspect(prompt=both, initial=[f"first={self.path('start.npy')}"])
        self.assertEqual(status, 0)
        rows = [line for line in out.splitlines() if re.match(r"│\s+\d", line)]
        self.assertEqual([row.split("│")[3].strip() for row in rows[:4]], ["3"] * 4)
        self.assertIn("Cosine of the mean vectors", out)
        self.assertIn("Mean cosine over all pairs", out)

    def test_page(self):
        page = self.path("out/page.html")
        status, out, _ = self.inspect(html=page)
        self.assertEqual(status, 0)
        self.assertIn(page, out)
        with open(page, encoding="utf-8") as stream:
            text = stream.read()
        self.assertIn(self.pieces.id_to_piece(self.ids[0]), text)
        self.assertGreaterEqual(text.count("<svg"), 2)

    def test_embedding_from_a_file(self):
        np.save(self.path("embedding.npy"), self.embedding)
        _, expected, _ = self.inspect()
        status, out, _ = self.inspect(
            checkpoint_dir=None, embedding_file=self.path("embedding.npy")
        )
        self.assertEqual((status, out), (0, expected))

    def test_a_huggingface_folder_has_its_vocabulary(self):
        arrays = toy_t5.parameters()
        folder = self.path("t5")
        toy_t5.write_folder(folder, {"model.safetensors": toy_t5.tensors(arrays)})
        with open(os.path.join(folder, "spiece.model"), "wb") as stream:
            stream.write(self.model)
        np.save(self.path("toy.npy"), 3 * arrays["token_embedder/embedding"][[7, 4]])
        status, out, err = self.inspect(
            prompt=[f"[/toy]={self.path('toy.npy')}"],
            base_model=folder,
            checkpoint_dir=None,
            vocabulary=None,
        )
        self.assertEqual(status, 0, err)
        self.assertIn("[/toy]", out)
        rows = [line for line in out.splitlines() if re.match(r"│\s+\d", line)]
        for row, i in zip(rows, [7, 4], strict=True):
            self.assertIn(f"{self.pieces.id_to_piece(i)} 1.00", row)

    def test_similarity_of_a_prompt_and_itself(self):
        same = [f"{name}={self.path('first.npy')}" for name in "ab"]
        _, out, _ = self.inspect(prompt=[*same, f"c={self.path('second.npy')}"])
        table = out[out.index("Cosine of the mean") : out.index("Mean cosine")]
        means = [self.prompt.mean(axis=0), self.embedding[self.ids].mean(axis=0)]
        other = means[0] @ means[1] / np.prod(np.linalg.norm(means, axis=1))
        cells = [re.findall(r"-?\d\.\d{3}", line) for line in table.splitlines()]
        expected = ["1.000", "1.000", f"{other:.3f}"]
        self.assertEqual([row for row in cells if row][:2], [expected, expected])

    @parameterized.parameters(
        ({"prompt": ["first"]}, "--prompt=first is not usable; accepted is NAME=PATH"),
        ({"prompt": ["a=/no/such/file"]}, "/no/such/file"),
        ({"initial": ["other=first.npy"]}, "other, which is no prompt"),
        ({"checkpoint_dir": None}, "one of --base_model, --checkpoint_dir and --embedding_file"),
        ({"base_model": "x"}, "one of --base_model, --checkpoint_dir and --embedding_file"),
        ({"vocabulary": "/no/model"}, "/no/model"),
        ({"nearest": 10_000}, "10000 neighbours.*--nearest"),
    )
    def test_user_errors(self, flags, message):
        here = os.getcwd()
        os.chdir(self.root)
        self.addCleanup(os.chdir, here)
        status, _, err = self.inspect(**flags)
        self.assertEqual(status, 1)
        self.assertRegex(err, f"^error: .*{message}")

    def test_stray_argument(self):
        self.assertEqual(self.inspect("stray")[0], 2)


if __name__ == "__main__":
    absltest.main()
