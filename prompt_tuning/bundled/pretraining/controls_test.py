# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
from unittest import mock

import jax
import numpy as np
from absl.testing import absltest

from prompt_tuning.bundled.pretraining import controls, probes, recipe, tuning

jax.config.update("jax_numpy_rank_promotion", "raise")


def _result(test: float, validation: float) -> tuning.Result:
    return tuning.Result(
        np.zeros((1, 2), np.float32),
        test=probes.Scores(test, 0.9, test),
        validation=probes.Scores(validation, 0.9, validation),
    )


class ControlsTest(absltest.TestCase):
    def test_a_row_has_the_mean_and_the_range_over_prompts(self):
        cells = controls.row(
            "name", probes.Scores(0.5, 0.75, 0.25), [_result(0.9, 0.8), _result(0.7, 0.6)]
        )
        self.assertEqual(
            cells, ["name", "0.500", "0.750", "0.250", "0.800", "0.700 - 0.900", "0.800", "0.700"]
        )

    def test_the_table_shows_every_cell(self):
        cells = controls.row("weights", probes.Scores(0.51, 0.752, 0.253), [_result(0.94, 0.85)])
        with (
            contextlib.redirect_stdout(io.StringIO()) as output,
            mock.patch.dict("os.environ", {"COLUMNS": "200"}),
        ):
            controls.print_table([cells])
        for cell in cells:
            self.assertIn(cell, output.getvalue())

    def test_a_flipped_model_is_trained_once(self):
        folder = self.create_tempdir().full_path
        fresh = controls.random_params()
        with mock.patch.object(recipe, "pretrain", return_value=fresh) as job:
            first = controls.flipped_params(folder)
            second = controls.flipped_params(folder)
        job.assert_called_once_with(recipe.Recipe(flipped_b=True))
        for name, value in fresh.items():
            np.testing.assert_allclose(first[name], value, rtol=2**-8)  # bfloat16
            np.testing.assert_array_equal(second[name], first[name])


if __name__ == "__main__":
    absltest.main()
