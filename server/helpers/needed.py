"""Return the helper processes of a server, which depend on its store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rundlet_server.functions.settings import ServerSettings
from rundlet_server.server.helpers.watched import module_command
from rundlet_server.storage.address import StoreAddress


class Helper(NamedTuple):
    """A process that runs as long as the server does.

    Attributes:
        name: its name in the warning that it died.
        command: program and arguments.
    """

    name: str
    command: Sequence[str]


def helpers(address: StoreAddress, settings: ServerSettings) -> list[Helper]:
    """Return the helpers of a server with this store.

    A folder needs a process that checkpoints and compacts it, unless the server is read-only. Other
    stores need none.
    """
    if address.folder is None or settings.read_only:
        return []
    arguments = (
        str(address.folder),
        *("--settings", settings.of_store().to_json()),
        *(("--counters", str(settings.counters_path)) if settings.counters_path else ()),
    )
    command = module_command("rundlet_server.storage.log.maintenance", *arguments)
    return [Helper("maintenance", command)]
