# SPDX-License-Identifier: Apache-2.0
"""What a run trains and what it leaves alone, bit for bit."""

import hashlib
import os
import pathlib
from unittest import mock

import gin
import jax
import numpy as np
from absl.testing import absltest

from prompt_tuning.bundled import bundled
from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.config import gin_flags, program
from prompt_tuning.training import trainer as trainer_lib
from tests.end_to_end import programs, review_files

jax.config.update("jax_numpy_rank_promotion", "raise")

_PROMPT = "encoder/prompt/prompt/prompt"


class _Watched:
    """A trainer that notes what it began with and what its last step used and gave."""

    def __init__(self, trainer):
        self._trainer = trainer

    def __getattr__(self, name):
        return getattr(self._trainer, name)

    def init_state(self, params, *args):
        self.before = {name: np.array(value) for name, value in params.items()}
        return self._trainer.init_state(params, *args)

    def train_step(self, state, frozen, batch):
        self.state, metrics = self._trainer.train_step(state, frozen, batch)
        self.frozen = frozen
        return self.state, metrics

    def after(self) -> dict[str, np.ndarray]:
        return jax.device_get({**self.frozen, **self.state.params})


def _bytes_of(folder: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


class FrozenWeightsTest(absltest.TestCase):
    """One run, prompt first and then the baseline, watched from inside."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The user's cache of compiled functions is not for tests.
        cls.enterClassContext(mock.patch.dict(os.environ, JAX_ENABLE_COMPILATION_CACHE="false"))
        folder = programs.new_folder(cls)
        cls.model_dir = folder / "run"
        cls.watched: list[_Watched] = []
        cls.checkpoint_before = _bytes_of(bundled.checkpoint_path())
        given = {
            "model_dir": str(cls.model_dir),
            "train_file": str(review_files.write(folder, "train", "tsv")),
            "label_words": ["negative", "positive"],
            "baseline": "model_tuning",
            "train_steps": 4,
            "batch_size": 16,
            "dropout_rate": 0.1,
        }
        chosen = program.configuration("train", given, None, [], ["."])
        gin.clear_config()
        gin_flags.parse_gin(chosen.files, chosen.bindings, chosen.search_paths)
        configured = gin.get_configurable(trainer_lib.Trainer)

        def make(*args, **kwargs):
            cls.watched.append(_Watched(configured(*args, **kwargs)))
            return cls.watched[-1]

        cls.last_step, cls.figures = gin_flags.configured("train")(trainer_cls=make)

    @classmethod
    def tearDownClass(cls):
        gin.clear_config()
        super().tearDownClass()

    def test_only_the_prompt_changes(self):
        watched = self.watched[0]
        after = watched.after()
        self.assertEqual(set(after), set(watched.before))
        self.assertGreater(len(after), 50)
        changed = [
            name for name in after if after[name].tobytes() != watched.before[name].tobytes()
        ]
        self.assertEqual(changed, [_PROMPT])
        self.assertTrue(np.all(np.any(after[_PROMPT] != watched.before[_PROMPT], axis=1)))

    def test_frozen_weights_are_those_of_the_file(self):
        target = t5x_format.open_checkpoint(bundled.checkpoint_path()).target()
        files = t5x_format.read_arrays(target, "float32")
        frozen = jax.device_get(dict(self.watched[0].frozen))
        self.assertEqual(set(frozen), set(files))
        for name, value in files.items():
            self.assertEqual(value.tobytes(), frozen[name].tobytes(), name)

    def test_saved_checkpoint_holds_the_trained_prompt_alone(self):
        checkpoint = t5x_format.open_checkpoint(self.model_dir)
        self.assertEqual(checkpoint.step, self.last_step)
        self.assertEqual(list(checkpoint.target()), [_PROMPT])
        np.testing.assert_array_equal(
            checkpoint.target()[_PROMPT].get(), self.watched[0].after()[_PROMPT]
        )

    def test_base_checkpoint_is_not_touched(self):
        self.assertEqual(_bytes_of(bundled.checkpoint_path()), self.checkpoint_before)

    def test_model_tuning_changes_everything_else(self):
        _, tuned = self.watched
        after = tuned.after()
        self.assertEqual(set(after), set(self.watched[0].before) - {_PROMPT})
        same = [name for name in after if np.array_equal(after[name], tuned.before[name])]
        self.assertEmpty(same)

    def test_both_start_from_the_same_weights(self):
        first, tuned = self.watched
        for name, value in tuned.before.items():
            self.assertEqual(value.tobytes(), first.before[name].tobytes(), name)

    def test_figures_count_what_was_trained(self):
        everything = sum(value.size for value in self.watched[0].before.values())
        prompt = self.watched[0].before[_PROMPT].size
        self.assertEqual(self.figures["trained_parameters_with_prompt"], prompt)
        self.assertEqual(self.figures["trained_parameters_model_tuning"], everything - prompt)
        self.assertEqual(self.figures["model_parameters"], everything - prompt)


if __name__ == "__main__":
    absltest.main()
