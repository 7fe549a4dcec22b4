"""The settings that only the first process of a server needs; ``SETTINGS`` is the whole table.

``ServeOptions`` has all settings of ``rundlet serve``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from rundlet_server.functions.settings.connections import CONNECTIONS_PANEL
from rundlet_server.functions.settings.kinds import Choice, Count, File, Flag, Text
from rundlet_server.functions.settings.processors import usable_processors
from rundlet_server.functions.settings.rows import (
    ServerName,
    Setting,
    group,
    setting,
    settings_of,
)
from rundlet_server.functions.settings.server import ServerSettings


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """All settings of ``rundlet serve``.

    Attributes:
        settings: of the store and the functions; temporary paths of a run are filled in later.
        load_path: a key-value text file to load first; an argument, so it has no row.
    """

    host: str = setting(
        "127.0.0.1",
        Setting(
            Text("HOST"),
            "The name or address to listen on.",
            variable="RUNDLET_HOST",
            option="--host",
        ),
    )
    port: int = setting(
        8_000,
        Setting(
            Count(least=0, most=65_535),
            "The port to listen on; 0 lets the system choose one.",
            variable="PORT",
            option="--port",
            short="-p",
        ),
    )
    server: ServerName = setting(
        "waitress",
        Setting(
            Choice(get_args(ServerName)),
            "The WSGI server: waitress is one process, granian is faster and may be many.",
            variable="RUNDLET_SERVER",
            option="--server",
            default_text="waitress; granian if --workers is above 1",
        ),
    )
    workers: int = setting(
        1,
        Setting(
            Count(most=256),
            "The number of worker processes; more than one means granian.",
            variable="RUNDLET_WORKERS",
            option="--workers",
            default_text="one for every two processors",
            by_server={"granian": max(1, usable_processors() // 2)},  # docs/decisions/event-loop.md
            only="granian",
        ),
    )
    threads: int = setting(
        16,
        Setting(
            Count(most=1_024),
            "The requests that each process works on at a time; with granian it matters only to"
            " stores in etcd and PostgreSQL.",
            variable="RUNDLET_THREADS",
            option="--threads",
            by_server={"granian": 32},  # docs/backends.md, Speed
        ),
    )
    in_memory: bool = setting(
        False,
        Setting(
            Flag(),
            "Keep the store in a private folder that is removed when the server ends.",
            option="--in-memory",
        ),
    )
    insecure: bool = setting(
        False,
        Setting(
            Flag(),
            "Admit every request from other machines, too, without authentication.",
            variable="RUNDLET_INSECURE",
            option="--insecure",
        ),
    )
    settings: ServerSettings = group(ServerSettings)
    tls_cert: Path | None = setting(
        None,
        Setting(
            File(),
            "The certificate with its chain, PEM; serves HTTPS.",
            variable="RUNDLET_TLS_CERT",
            option="--tls-cert",
            panel=CONNECTIONS_PANEL,
            only="granian",
        ),
    )
    tls_key: Path | None = setting(
        None,
        Setting(
            File(),
            "The private key of the certificate, PEM, without a password.",
            variable="RUNDLET_TLS_KEY",
            option="--tls-key",
            panel=CONNECTIONS_PANEL,
            only="granian",
        ),
    )
    load_path: Path | None = None


SETTINGS: Final = tuple(settings_of(ServeOptions))
"""All rows, in the order of help texts and documentation."""
