"""A hook of the build: the server requires the client of its own version."""

from __future__ import annotations

from hatchling.metadata.plugin.interface import MetadataHookInterface


class SameVersion(MetadataHookInterface):
    """Completes the dependencies of the server, which stand in the hook's configuration."""

    def update(self, metadata: dict[str, object]) -> None:
        """Add the client, pinned to the version that is being built."""
        client = f"rundlet-client=={metadata['version']}"
        metadata["dependencies"] = [client, *self.config["dependencies"]]
