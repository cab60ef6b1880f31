# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.prompts import initializers, multitask_prompt

jax.config.update("jax_numpy_rank_promotion", "raise")

P, H, TASKS = 3, 4, 2
# Tasks 1, 0 and 1, named by the sentinels of a vocabulary of 32 ids.
TOKENS = np.array([[30, 5, 1], [31, 6, 1], [30, 7, 1]], np.int32)
X_EMBED = jnp.zeros((3, 3, H))
to_task = functools.partial(multitask_prompt.sentinel_to_task, vocab_size=32)
normal = jax.nn.initializers.normal(1.0)

MODULES = {
    "add": (multitask_prompt.AddMultiTaskPrompt, {}, H, P * H, P),
    "concat": (multitask_prompt.ConcatMultiTaskPrompt, {"task_length": 2}, H, 2 * H, P + 2),
    "concat_default": (multitask_prompt.ConcatMultiTaskPrompt, {}, H, P * H, 2 * P),
    "features": (
        multitask_prompt.ConcatFeaturesMultiTaskPrompt,
        {"shared_features": 1, "task_features": 3},
        1,
        3 * P,
        P,
    ),
    "project": (
        multitask_prompt.ProjectMultiTaskPrompt,
        {"shared_features": 2, "task_features": H},
        2,
        2 * H + H,
        P,
    ),
    "project_default": (multitask_prompt.ProjectMultiTaskPrompt, {}, H, H * H + H, P),
}


def make(name, **more):
    module_class, fields, *_ = MODULES[name]
    return module_class(
        P,
        num_tasks=TASKS,
        to_task_idx=to_task,
        **{"shared_init": normal, "tasks_init": normal, **fields, **more},
    )


def by_hand(name, shared, task):
    """The prompt of one task, position by position."""
    if name == "add":
        return [shared[p] + task[p * H : (p + 1) * H] for p in range(P)]
    if name.startswith("concat"):
        return [*shared, *np.split(task, len(task) // H)]
    if name == "features":
        return [np.append(shared[p], task[p * 3 : (p + 1) * 3]) for p in range(P)]
    inner = shared.shape[1]
    bias = task[H * inner :]
    return [
        [shared[p] @ task[o * inner : (o + 1) * inner] + bias[o] for o in range(H)]
        for p in range(P)
    ]


class MultiTaskPromptTest(parameterized.TestCase):
    @parameterized.parameters(*MODULES)
    def test_prompt_of_each_example_is_that_of_its_task(self, name):
        module = make(name)
        variables = module.init(jax.random.key(0), TOKENS, X_EMBED)
        got = module.apply(variables, TOKENS, X_EMBED)
        *_, features, size, length = MODULES[name]
        self.assertEqual(got.shape, (3, length, H))
        params = jax.tree.map(np.asarray, variables["params"])
        self.assertEqual(params["shared_prompt"].shape, (P, features))
        self.assertEqual(params["task_prompts"]["embedding"].shape, (TASKS, size))
        for row, task in enumerate((1, 0, 1)):
            expected = by_hand(
                name, params["shared_prompt"], params["task_prompts"]["embedding"][task]
            )
            np.testing.assert_allclose(got[row], np.array(expected), atol=1e-5)

    def test_only_the_tasks_that_are_there_get_a_gradient(self):
        module = make("add")
        variables = module.init(jax.random.key(0), TOKENS, X_EMBED)

        def loss(variables):
            return (module.apply(variables, TOKENS[:1], X_EMBED[:1]) ** 2).sum()

        gradient = jax.grad(loss)(variables)["params"]
        self.assertEqual(np.abs(gradient["task_prompts"]["embedding"][0]).max(), 0)
        self.assertGreater(np.abs(gradient["task_prompts"]["embedding"][1]).min(), 0)
        self.assertGreater(np.abs(gradient["shared_prompt"]).min(), 0)

    @parameterized.parameters(29, 32, 5)
    def test_a_task_that_does_not_exist_has_no_prompt(self, token):
        module = make("add")
        variables = module.init(jax.random.key(0), TOKENS, X_EMBED)
        tokens = TOKENS.copy()
        tokens[0, 0] = token
        got = module.apply(variables, tokens, X_EMBED)
        self.assertTrue(np.isnan(got[0]).all())
        self.assertFalse(np.isnan(got[1:]).any())

    def test_index_itself(self):
        module = multitask_prompt.AddMultiTaskPrompt(P, num_tasks=TASKS)
        tokens = np.array([[0, 5], [1, 5]], np.int32)
        x_embed = jnp.zeros((2, 2, H))
        prompts = module.apply(module.init(jax.random.key(0), tokens, x_embed), tokens, x_embed)
        self.assertGreater(np.abs(prompts[0] - prompts[1]).max(), 0)

    def test_from_arrays_and_in_another_dtype(self):
        shared = np.ones((P, H), np.float16)
        tasks = np.arange(TASKS * P * H, dtype=np.float64).reshape(TASKS, -1)
        module = make(
            "add",
            shared_init=initializers.from_array(shared),
            tasks_init=initializers.from_array(tasks),
            dtype=jnp.bfloat16,
        )
        variables = module.init(jax.random.key(0), TOKENS, X_EMBED)
        for leaf in jax.tree.leaves(variables):
            self.assertEqual(leaf.dtype, jnp.float32)
        got = module.apply(variables, TOKENS, X_EMBED)
        self.assertEqual(got.dtype, jnp.bfloat16)
        np.testing.assert_array_equal(got[1], 1 + tasks[0].reshape(P, H))

    def test_parts_that_do_not_add_up(self):
        module = make("features", shared_features=2)
        with self.assertRaisesRegex(ValueError, "width 5, and the model has 4"):
            module.init(jax.random.key(0), TOKENS, X_EMBED)

    def test_base_class_says_what_it_lacks(self):
        module = multitask_prompt.MultiTaskPrompt(P, num_tasks=TASKS)
        with self.assertRaisesRegex(NotImplementedError, "get_task_size"):
            module.init(jax.random.key(0), TOKENS, X_EMBED)


if __name__ == "__main__":
    absltest.main()
