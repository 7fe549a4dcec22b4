"""The version of the software."""

from __future__ import annotations

import functools
from importlib import metadata


@functools.cache
def software_version() -> str:
    """Return the version of the installed package, or ``0+checkout`` if none is installed."""
    try:
        return metadata.version("rundlet")
    except metadata.PackageNotFoundError:
        return "0+checkout"
