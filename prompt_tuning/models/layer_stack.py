# SPDX-License-Identifier: Apache-2.0
"""A stack of equal layers: one after the other, or as one loop over stacked parameters.

A scanned stack is traced and compiled as one layer, however many there are, and is a loop whose
memory XLA can reuse from layer to layer. What it wants is an array for each parameter with the
layers on axis 0, so that one layer is a contiguous slice:

  encoder/layers_<i>/mlp/wo/kernel  [F, H]          as everything else names it
  encoder/layers/mlp/wo/kernel      [layers, F, H]  as a scanned stack runs it

A network takes either form (`Network.apply`), or some parameters in one and some in the other: the
frozen ones are stacked once, when they are placed on the device, and what trains keeps the names
and shapes that optimizers and files know. T5X's scanned files stack on axis 1; that is the business
of `checkpoints.scanned_layers`.
"""

import collections
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from array_ops import einsum

# T5X's names: save everything, only the products with weights, or only what enters a layer.
REMAT_POLICIES = ("none", "minimal", "full")

# Bytes; what XLA asks of memory on the CPU.
_ALIGNMENT = 64

_LAYER = re.compile(r"(.*/)?layers_(\d+)/(.+)")
_STACKED = re.compile(r"(.*/)?layers/(.+)")

# (layer, what goes from layer to layer, this layer's own input) -> (the same, this layer's output)
Body = Callable[[Any, Any, Any], tuple[Any, Any]]


def run(
    layers: Any,
    body: Body,
    carry: Any,
    xs: Any = None,
    *,
    count: int,
    remat_policy: str = "none",
    fetch: bool = False,
) -> tuple[Any, Any]:
    """Runs `body` on each layer of a stack.

    Args:
        layers: a sequence of bound modules, or a single one whose parameters are stacked.
        body: must not depend on which layer it is given.
        carry: what the first layer gets; of the same shapes and dtypes as what `body` returns.
        xs: for each layer its own: a sequence, or for stacked layers a tree with a leading axis.
        count: of layers.
        remat_policy: one of `REMAT_POLICIES`.
        fetch: parameters lie in the host's memory; each layer's are copied to the device when it
            runs, and again where it is rematerialised.

    Returns:
        The last carry, and the outputs in the form of `xs`.
    """
    scanned = not isinstance(layers, Sequence)
    if fetch:
        body = nn.map_variables(body, "params", trans_in_fn=_on_device, init=True)
    if remat_policy != "none":
        policy = _products_with_weights() if remat_policy == "minimal" else None
        # In a loop nothing is there for the compiler to merge the second computation with.
        body = nn.remat(body, policy=policy, prevent_cse=not scanned)
    if scanned:
        return nn.scan(
            body,
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True, "dropout": True},
            length=count,
            check_constancy_invariants=False,
        )(layers, carry, xs)
    step = body
    if _is_traced(carry) and _is_pure(layers[0]) and _are_alike(layers):
        step = _traced_once(body, layers)
    outputs = []
    for layer, x in zip(layers, [None] * count if xs is None else xs, strict=True):
        carry, output = step(layer, carry, x)
        outputs.append(output)
    return carry, tuple(outputs)


def _is_traced(carry: Any) -> bool:
    """Whether a program is being made; outside of one, each call would compile one of its own."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(carry))


def _are_alike(layers: Sequence[nn.Module]) -> bool:
    """Whether bound layers differ in nothing but their names and parameters."""
    first, *others = (layer.unbind()[0] for layer in layers)
    try:
        return all(layer == first for layer in others)
    except ValueError:  # An attribute is an array, which has no single answer.
        return False


def _is_pure(layer: nn.Module) -> bool:
    """Whether nothing but its result comes of running a bound layer, and nothing is drawn for it."""
    scope: Any = layer.scope
    return not (layer.is_initializing() or scope.rngs or scope.mutable)


def _traced_once(body: Body, layers: Sequence[nn.Module]) -> Body:
    """`body` as a function that is traced for the first layer, and called for each.

    Tracing and differentiating layer after layer is most of what a program that was compiled
    before still takes to start. The compiler sees the same operations.

    In float32 the program calls one function. In narrower types the operations are copied for each
    layer instead: XLA leaves out roundings of bfloat16 within a function, so that functions would
    change the numbers, away from T5X's, whose layers are not functions.
    """
    first, _ = layers[0].unbind()
    of_body = nn.apply(body, first)

    def apply(layer, carry, x):
        exact = all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(carry))
        return (called if exact else copied)(layer.variables, carry, x)

    called, copied = jax.jit(of_body), jax.jit(of_body, inline=True)
    return apply


def _products_with_weights() -> Callable[..., bool]:
    """A policy that saves products without a batch axis, whoever computes them."""
    policies = jax.checkpoint_policies
    return policies.save_from_both_policies(
        policies.dots_with_no_batch_dims_saveable, policies.save_only_these_names(einsum.NAME)
    )


def is_of_a_layer(name: str) -> bool:
    """Whether a parameter belongs to a layer, stacked or not, and so is fetched when it runs."""
    return bool(_LAYER.fullmatch(name) or _STACKED.fullmatch(name))


def _on_device(variables: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.device_put(leaf, jax.memory.Space.Device), variables)


def stack(params: Mapping[str, Any], counts: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Flat parameters with those of all layers of a stack as one; the others pass through.

    Args:
        params: `{"encoder/layers_0/mlp/wo/kernel": [F, H], ...}`: NumPy, JAX, shapes, or trees of
            them. NumPy arrays stay such.
        counts: how many layers there are, `{"encoder": 8, ...}`. A parameter that some of them
            lack stays as it is; without `counts` it is an error.

    Raises:
        ValueError: a layer lacks a parameter that others have, and `counts` is None.
    """
    layers: dict[str, dict[int, Any]] = collections.defaultdict(dict)
    result = {}
    for name, value in params.items():
        match = _LAYER.fullmatch(name)
        if match:
            layers[f"{match[1] or ''}layers/{match[3]}"][int(match[2])] = value
        else:
            result[name] = value
    for name, found in layers.items():
        if counts is not None and len(found) != counts[name.partition("/")[0]]:
            before, after = name.split("layers/", 1)
            result |= {f"{before}layers_{i}/{after}": value for i, value in found.items()}
            continue
        if sorted(found) != list(range(len(found))):
            raise ValueError(f"{name} cannot be made of the layers {sorted(found)} alone")
        ordered = [found[index] for index in range(len(found))]
        result[name] = jax.tree.map(lambda *leaves: _stacked(leaves), *ordered)
    return result


def unstack(params: Mapping[str, Any]) -> dict[str, Any]:
    """What `stack` was given: every layer with names of its own. NumPy arrays become views."""
    result = {}
    for name, value in params.items():
        match = _STACKED.fullmatch(name)
        if not match:
            result[name] = value
            continue
        for index in range(jax.tree.leaves(value)[0].shape[0]):
            layer = f"{match[1] or ''}layers_{index}/{match[2]}"
            result[layer] = jax.tree.map(lambda leaf, index=index: leaf[index], value)
    return result


def _stacked(leaves: Sequence[Any]) -> Any:
    if isinstance(leaves[0], jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct((len(leaves), *leaves[0].shape), leaves[0].dtype)
    if all(isinstance(leaf, np.ndarray) for leaf in leaves):
        return np.stack(leaves, out=_aligned((len(leaves), *leaves[0].shape), leaves[0].dtype))
    return jnp.stack(leaves)


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array that a CPU's `jax.device_put` takes over without copying it."""
    count = math.prod(shape) * dtype.itemsize
    memory = np.empty(count + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + count].view(dtype).reshape(shape)


class Network(nn.Module):
    """A network with stacks of layers and a `config` that says whether they are scanned.

    From outside its parameters are the same either way. `init` draws those of the unscanned
    network, so a key gives the same numbers; `apply` takes them, stacked or not.
    """

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """As `nn.Module.init`, in the unscanned form."""
        if not self.config.scan_layers:
            return super().init(*args, **kwargs)
        unscanned = self.clone(config=self.config.replace(scan_layers=False))
        return unscanned.init(*args, **kwargs)

    def apply(self, variables: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As `nn.Module.apply`; layers that are not stacked yet are stacked for this call."""
        if self.config.scan_layers:
            flat = traverse_util.flatten_dict(variables["params"], sep="/")
            if any(_LAYER.fullmatch(name) for name in flat):
                params = traverse_util.unflatten_dict(stack(flat), sep="/")
                variables = {**variables, "params": params}
        return super().apply(variables, *args, **kwargs)
