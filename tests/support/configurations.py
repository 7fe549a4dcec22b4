"""Sample configurations of ``deploy/`` with the places of this machine in them."""

from __future__ import annotations

from collections.abc import Mapping


def adapted(configuration: str, changes: Mapping[str, str]) -> str:
    """Return a configuration with some of its texts replaced; each must be there."""
    for old, new in changes.items():
        assert old in configuration, old
        configuration = configuration.replace(old, new)
    return configuration
