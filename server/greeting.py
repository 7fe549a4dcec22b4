"""The text that a server prints when it accepts connections: its address, and first steps."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from rundlet_server.functions.route_table import UI
from rundlet_server.functions.settings import ServeOptions, ServerSettings
from rundlet_server.functions.version import software_version
from rundlet_server.server.listen.address import Address
from rundlet_server.server.own_command import own_command

_SYNCED_BY: Final = {
    "etcd": "synced by most nodes of etcd",
    "postgresql": "synced as synchronous_commit of the database says",
}
"""The durability of a write in stores to which ``sync`` does not apply."""

_USUAL_URL: Final = "http://127.0.0.1:8000"
"""The default URL of the command; a test compares it with the client's."""


def headline(options: ServeOptions, address: Address) -> str:
    """Return the line with the store, the address and the server."""
    is_granian = options.server == "granian"
    layout = _count(options.workers, "worker") if is_granian else _count(options.threads, "thread")
    return (
        f"Rundlet {software_version()} serving {_what(options)} on {address.url}"
        f" ({options.server}, {layout}, {_durability(options.settings)})"
    )


def first_steps(settings: ServerSettings, address: Address, *, has_tokens: bool) -> str:
    """Return the addresses to open and the commands to try first, for a person at a terminal.

    Args:
        settings: of the server.
        address: where it listens; an address of all interfaces is shown as loopback.
        has_tokens: the server admits only requests with a token.
    """
    steps = _steps(settings, address.reachable.url, has_tokens=has_tokens)
    return "\n" + "\n".join(f"  {name:<11}{text}" for name, text in steps) + "\n"


def _steps(settings: ServerSettings, url: str, *, has_tokens: bool) -> Iterator[tuple[str, str]]:
    if not settings.no_ui:
        yield "Dashboard", f"{url}{UI.path}"
    yield "API", f"{url}/openapi.json"
    token = '-H "Authorization: Bearer $RUNDLET_TOKEN" ' if has_tokens else ""
    if settings.read_only:
        yield "Try", f"curl {token}'{url}/v1/keys?limit=5'"
        return
    yield "Try", f"curl {token}-X PUT -d hello {url}/v1/kv/greeting"
    place = "" if url == _USUAL_URL else f" --url {url}"
    yield "Samples", f"{own_command()} demo{place}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


def _what(options: ServeOptions) -> str:
    if options.in_memory:
        return "in memory"
    address = options.settings.store
    if address.path is None:
        return address.shown
    path = address.path
    shown = shlex.quote(str(path))
    return shown if path.is_absolute() or shown.startswith((".", "'")) else f"./{shown}"


def _durability(settings: ServerSettings) -> str:
    if settings.read_only:
        return "read-only"
    return _SYNCED_BY.get(settings.store.scheme, f"sync={settings.sync}")
