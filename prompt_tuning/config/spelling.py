# SPDX-License-Identifier: Apache-2.0
"""What somebody who wrote an unknown name may have meant; the ending of many error messages."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], many: int = 3) -> str:
    """`; did you mean a or b?`, or nothing when no known name is near.

    Args:
        name: what was written.
        known: what is accepted.
        many: how many names to offer at most.
    """
    near = difflib.get_close_matches(name, list(known), n=many, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""
