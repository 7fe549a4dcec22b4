"""Options of ``rundlet serve`` on connections: how many, how long, from whom, and by TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from rundlet_server.cli.show.times import seconds_of
from rundlet_server.functions.access.cors import is_origin
from rundlet_server.functions.connections import ConnectionLimits, header_bytes_needed
from rundlet_server.server.errors import TlsError
from rundlet_server.server.listen.tls import TlsFiles, load_tls_files

_PANEL: Final = "Connections"
_CONNECTIONS: Final = {"waitress": 1_000, "granian": 4_000}

MaxConnectionsOption = Annotated[
    int | None,
    typer.Option(
        "--max-connections",
        envvar="RUNDLET_MAX_CONNECTIONS",
        min=1,
        rich_help_panel=_PANEL,
        help="Connections each process keeps.",
        show_default="waitress 1000, granian 4000",
    ),
]
MaxHeaderBytesOption = Annotated[
    int | None,
    typer.Option(
        "--max-header-bytes",
        envvar="RUNDLET_MAX_HEADER_BYTES",
        min=1_024,
        rich_help_panel=_PANEL,
        help="Request line and headers; never less than the longest key needs.",
        show_default="65536",
    ),
]
HeaderTimeoutOption = Annotated[
    str,
    typer.Option(
        "--header-timeout",
        envvar="RUNDLET_HEADER_TIMEOUT",
        metavar="TIME",
        rich_help_panel=_PANEL,
        help="For the headers; with granian also between requests.",
    ),
]
BodyTimeoutOption = Annotated[
    str,
    typer.Option(
        "--body-timeout",
        envvar="RUNDLET_BODY_TIMEOUT",
        metavar="TIME",
        rich_help_panel=_PANEL,
        help="For each pause in a body, or in reading an answer.",
    ),
]
IdleTimeoutOption = Annotated[
    str,
    typer.Option(
        "--idle-timeout",
        envvar="RUNDLET_IDLE_TIMEOUT",
        metavar="TIME",
        rich_help_panel=_PANEL,
        help="Between two requests (waitress).",
    ),
]
CorsOriginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cors-origin",
        envvar="RUNDLET_CORS_ORIGIN",
        metavar="ORIGIN",
        rich_help_panel=_PANEL,
        help="Let web pages of this origin in, or of all with '*'; may be repeated.",
        show_default="none",
    ),
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        envvar="RUNDLET_ALLOW_HOST",
        metavar="NAME",
        rich_help_panel=_PANEL,
        help="One more name that this server is called by; may be repeated.",
        show_default="local ones",
    ),
]
TlsCertOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert",
        envvar="RUNDLET_TLS_CERT",
        metavar="FILE",
        rich_help_panel=_PANEL,
        help="Certificate with its chain, PEM; serves HTTPS (granian).",
    ),
]
TlsKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-key",
        envvar="RUNDLET_TLS_KEY",
        metavar="FILE",
        rich_help_panel=_PANEL,
        help="Its key, PEM, without a password.",
    ),
]


def connection_limits(
    server: str,
    counts: tuple[int | None, int | None],
    times: tuple[str, str, str],
    key_bytes_max: int,
) -> ConnectionLimits:
    """The limits on connections.

    Args:
        server: which WSGI server.
        counts: ``--max-connections`` and ``--max-header-bytes``.
        times: ``--header-timeout``, ``--body-timeout`` and ``--idle-timeout``.
        key_bytes_max: the longest key that a path must hold.
    """
    default = ConnectionLimits()
    header_bytes_max = counts[1] or default.header_bytes_max
    return ConnectionLimits(
        connections_max=counts[0] or _CONNECTIONS[server],
        header_bytes_max=max(header_bytes_max, header_bytes_needed(key_bytes_max)),
        header_timeout_s=_timeout_s("--header-timeout", times[0]),
        body_timeout_s=_timeout_s("--body-timeout", times[1]),
        idle_timeout_s=_timeout_s("--idle-timeout", times[2]),
    )


def tls_files(server: str, cert: Path | None, key: Path | None) -> TlsFiles | None:
    """What to serve TLS with, or ``None`` for plain HTTP."""
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise typer.BadParameter("--tls-cert and --tls-key belong together; give both")
    if server == "waitress":
        message = "waitress speaks no TLS; take --server granian, or nginx in front"
        raise typer.BadParameter(message)
    try:
        return load_tls_files(cert, key)
    except TlsError as ex:
        raise typer.BadParameter(str(ex), param_hint="--tls-cert, --tls-key") from ex


def cors_origins(origins: list[str] | None) -> tuple[str, ...]:
    """The origins of ``--cors-origin``, each as browsers spell it."""
    for origin in origins or ():
        if not is_origin(origin):
            message = (
                f"{origin!r} is no origin as browsers send it; write it as"
                " https://app.example.org, without patterns, or '*' for all"
            )
            raise typer.BadParameter(message, param_hint="--cors-origin")
    return tuple(origins or ())


def _timeout_s(option: str, text: str) -> float:
    seconds = seconds_of(option, text)
    if seconds == 0:
        raise typer.BadParameter("a time above 0 is needed", param_hint=option)
    return seconds
