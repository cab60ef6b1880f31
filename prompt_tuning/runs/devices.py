# SPDX-License-Identifier: Apache-2.0
"""Whether the accelerator that was asked for is there.

JAX alone runs on the CPU when it finds no TPU or GPU, a hundred times slower, and says so in a line
of its log. An environment made with `--config=tpu` or `--config=cuda` asks for the device, and so
does JAX_PLATFORMS.
"""

import importlib.metadata
import os

import jax

# {what only that environment has installed: (configuration of Bazel, what is missing)}
_DISTRIBUTIONS = {
    "libtpu": ("tpu", "no TPU"),
    "jax-cuda12-plugin": ("cuda", "no NVIDIA GPU with a driver of at least version 525"),
}
_CPU = "set JAX_PLATFORMS=cpu to run on the CPU on purpose"


def check() -> None:
    """Refuses to go on without the device.

    Raises:
      ValueError: it is not there, or another process holds it.
    """
    wanted = os.environ.get("JAX_PLATFORMS", "")
    try:
        found = jax.default_backend()
    except (AssertionError, RuntimeError) as error:
        # JAX_PLATFORMS=cuda without a GPU ends in an assertion that has no text.
        reason = str(error).strip().partition("\n")[0].rstrip(".") or "there is none"
        asked = f"JAX_PLATFORMS={wanted} asks for a device" if wanted else "JAX found a device"
        raise ValueError(f"{asked} that cannot be used: {reason}; {_CPU}.") from error
    first = wanted.partition(",")[0]
    if first not in ("", "cpu") and found == "cpu":
        # JAX passes over "cuda" where it sees no GPU, as long as another name follows.
        raise ValueError(
            f"JAX_PLATFORMS={wanted} asks for {first} first, and JAX finds none on this machine; {_CPU}."
        )
    if wanted or found != "cpu":
        return
    for distribution, (configuration, missing) in _DISTRIBUTIONS.items():
        if _is_installed(distribution):
            raise ValueError(
                f"this environment was made with --config={configuration}, but JAX finds {missing} "
                f"on this machine, or another process holds it; {_CPU}, or build without "
                f"--config={configuration}."
            )


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
