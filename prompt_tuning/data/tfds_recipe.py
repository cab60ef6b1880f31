# SPDX-License-Identifier: Apache-2.0
"""What TFDS itself can make of a dataset, and its download, for machines that have a network.

TFDS makes a dataset only in its newest versions, and some tasks read older ones; those can only be
copied from where they were made. Errors are one sentence, whatever TFDS says in how many.
"""

import contextlib
import logging
import os
from collections.abc import Iterator

import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import downloader

# TFDS tries 10 times and waits twice as long each time, 3 minutes in all.
_RETRIES = 4


def versions(name: str) -> list[str]:
    """The versions of TFDS's dataset `name` (any version in it) that can be made now; [] if none."""
    path = name.partition(":")[0]
    dataset, _, config = path.partition("/")
    try:
        builder = tfds.builder_cls(dataset)(config=config or None, data_dir=os.devnull)
    except (AssertionError, ValueError, tfds.core.DatasetNotFoundError):
        return []
    return sorted({str(builder.canonical_version), str(max(builder.versions))})


def download(name: str, data_dir: str) -> str:
    """Downloads a dataset and prepares it in a TFDS folder; one that is there stays as it is.

    Args:
      name: TFDS's, with config and version.
      data_dir: the TFDS folder; what is downloaded goes to its folder `downloads`.

    Returns:
      The folder of the dataset.

    Raises:
      ValueError: TFDS cannot make it in this version, or not without somebody's help.
      OSError: the network does not give it, or the disk does not take it.
    """
    path, _, version = name.partition(":")
    dataset, _, config = path.partition("/")
    _check_version(name)
    builder = tfds.builder_cls(dataset)(
        config=config or None, version=version or None, data_dir=data_dir
    )
    try:
        with _patience():
            builder.download_and_prepare()
    except (OSError, tfds.download.DownloadError) as error:
        raise OSError(
            f"{name} could not be downloaded ({_reason(error)}); run the same command where "
            f"there is a network and copy the folder {data_dir} here."
        ) from None
    except (ImportError, AssertionError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"TFDS could not make {name} ({_reason(error)}); do what it asks for, or prepare it "
            f"elsewhere and copy its folder to {builder.data_dir}."
        ) from None
    return str(builder.data_dir)


def _check_version(name: str) -> None:
    path, _, version = name.partition(":")
    possible = versions(name)
    if version in possible or (possible and not version):
        return
    makes = f"only version {' and '.join(possible)}" if possible else "no version"
    raise ValueError(
        f"TFDS {tfds.__version__} makes {makes} of {path}, and {version or 'one'} was asked for; "
        f"make {name} of local files instead (--files, or --source for GLUE and SuperGLUE), or "
        "copy its folder to --data_dir from where an older TFDS prepared it."
    )


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """A network that is not there is told after seconds, and once."""
    retries, connections = downloader.MAX_RETRIES, logging.getLogger("urllib3")
    level = connections.level
    downloader.MAX_RETRIES = _RETRIES
    connections.setLevel(logging.ERROR)
    try:
        yield
    finally:
        downloader.MAX_RETRIES = retries
        connections.setLevel(level)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:600].rstrip(".") or type(error).__name__
