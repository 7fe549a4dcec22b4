"""What a server can be told, and how it reaches the processes that serve.

The command line fills in ``ServerSettings``; the server hands them to its workers as
environment variables (``to_environ``), and the app there reads them (``from_environ``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rundlet_server.functions.connections import ConnectionLimits
from rundlet_server.functions.limits import (
    mget_body_bytes_max,
    server_body_bytes_max,
    txn_body_bytes_max,
)
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.interface import Limits

SyncPolicy = Literal["always", "interval", "never"]
LogFormat = Literal["text", "json"]

_LIMIT_VARIABLES = {
    "key_bytes_max": "RUNDLET_MAX_KEY_BYTES",
    "value_bytes_max": "RUNDLET_MAX_VALUE_BYTES",
    "txn_ops_max": "RUNDLET_MAX_TXN_OPS",
    "txn_bytes_max": "RUNDLET_MAX_TXN_BYTES",
    "list_keys_max": "RUNDLET_MAX_LIST_KEYS",
}


class SettingError(ValueError):
    """An environment variable holds something that it cannot mean; the message names it."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server serves.

    Attributes:
        data_path: the store's folder (``RUNDLET_DATA``).
        sync: when a write is on the disk (``RUNDLET_SYNC``).
        sync_interval_s: for ``interval``, in seconds (``RUNDLET_SYNC_INTERVAL``).
        keep_versions: versions kept of each key (``RUNDLET_KEEP_VERSIONS``).
        keep_for_s: how long everything is kept, in seconds (``RUNDLET_KEEP_FOR``).
        read_only: refuse writes (``RUNDLET_READ_ONLY``).
        read_only_file: serve this text file instead of a folder (``RUNDLET_READ_ONLY_FILE``).
        any_key: its keys need not be UUIDs (``RUNDLET_ANY_KEY``).
        skip_bad: its bad lines are left out (``RUNDLET_SKIP_BAD``).
        maintain_inline: no other process does the maintenance (``RUNDLET_MAINTAIN_INLINE``).
        counters_path: folder of counters that all workers share (``RUNDLET_COUNTERS``);
            without it each process counts for itself.
        tokens_path: folder of the tokens (``RUNDLET_TOKENS``); by default the store's.
        open_without_tokens: while there is no token, everybody is let in and may do everything;
            else nobody is (``RUNDLET_OPEN``).
        audit_path: where the audit trail goes (``RUNDLET_AUDIT``); by default stderr.
        log_format: how a request that failed or was slow is logged (``RUNDLET_LOG_FORMAT``).
        slow_s: a request that takes so long, in seconds, is slow (``RUNDLET_SLOW_MS``,
            in milliseconds).
        uploads_max: bodies that one process waits for at a time (``RUNDLET_MAX_UPLOADS``); no
            limit where the server reads bodies before it calls.
        cors_origins: of the web pages that browsers let use this server, or ``*``
            (``RUNDLET_CORS_ORIGIN``, with spaces between).
        host_names: names by which the server may be called while everybody may do everything
            (``RUNDLET_ALLOW_HOST``, with spaces between); without them it may be by any.
        connections: see ``ConnectionLimits``.
        limits: ``RUNDLET_MAX_KEY_BYTES``, ``_VALUE_BYTES``, ``_TXN_OPS``, ``_TXN_BYTES``,
            ``_LIST_KEYS``.
    """

    data_path: Path = Path("data")
    sync: SyncPolicy = "always"
    sync_interval_s: float = 1.0
    keep_versions: int = 1
    keep_for_s: float = 3600.0
    read_only: bool = False
    read_only_file: Path | None = None
    any_key: bool = False
    skip_bad: bool = False
    maintain_inline: bool = True
    counters_path: Path | None = None
    tokens_path: Path | None = None
    open_without_tokens: bool = True
    audit_path: Path | None = None
    log_format: LogFormat = "text"
    slow_s: float = 1.0
    uploads_max: int | None = None
    cors_origins: tuple[str, ...] = ()
    host_names: tuple[str, ...] = ()
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    limits: Limits = field(default_factory=Limits)

    @property
    def store(self) -> StoreAddress:
        """Where the store is."""
        if self.read_only_file is not None:
            return StoreAddress.of_file(self.read_only_file)
        return StoreAddress.of_folder(self.data_path)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> ServerSettings:
        """Read the settings; what is not there or empty keeps its default.

        Raises:
            SettingError: a variable cannot be read.
        """
        read = _Reader(environ)
        limits = {name: read.size(variable) for name, variable in _LIMIT_VARIABLES.items()}
        return cls(
            data_path=read.path("RUNDLET_DATA") or Path("data"),
            sync=read.sync("RUNDLET_SYNC"),
            sync_interval_s=read.seconds("RUNDLET_SYNC_INTERVAL", 1.0),
            keep_versions=read.size("RUNDLET_KEEP_VERSIONS") or 1,
            keep_for_s=read.seconds("RUNDLET_KEEP_FOR", 3600.0),
            read_only=read.flag("RUNDLET_READ_ONLY", default=False),
            read_only_file=read.path("RUNDLET_READ_ONLY_FILE"),
            any_key=read.flag("RUNDLET_ANY_KEY", default=False),
            skip_bad=read.flag("RUNDLET_SKIP_BAD", default=False),
            maintain_inline=read.flag("RUNDLET_MAINTAIN_INLINE", default=True),
            counters_path=read.path("RUNDLET_COUNTERS"),
            tokens_path=read.path("RUNDLET_TOKENS"),
            open_without_tokens=read.flag("RUNDLET_OPEN", default=True),
            audit_path=read.path("RUNDLET_AUDIT"),
            log_format=read.log_format("RUNDLET_LOG_FORMAT"),
            slow_s=read.seconds("RUNDLET_SLOW_MS", 1_000.0) / 1_000,
            uploads_max=read.size("RUNDLET_MAX_UPLOADS"),
            cors_origins=read.words("RUNDLET_CORS_ORIGIN"),
            host_names=read.words("RUNDLET_ALLOW_HOST"),
            connections=read.connections(),
            limits=dataclasses.replace(
                Limits(), **{name: size for name, size in limits.items() if size is not None}
            ),
        )

    def to_environ(self) -> dict[str, str]:
        """The variables that ``from_environ`` reads these settings from."""
        return {
            "RUNDLET_DATA": str(self.data_path),
            "RUNDLET_SYNC": self.sync,
            "RUNDLET_SYNC_INTERVAL": str(self.sync_interval_s),
            "RUNDLET_KEEP_VERSIONS": str(self.keep_versions),
            "RUNDLET_KEEP_FOR": str(self.keep_for_s),
            "RUNDLET_READ_ONLY": str(int(self.read_only)),
            "RUNDLET_READ_ONLY_FILE": str(self.read_only_file or ""),
            "RUNDLET_ANY_KEY": str(int(self.any_key)),
            "RUNDLET_SKIP_BAD": str(int(self.skip_bad)),
            "RUNDLET_MAINTAIN_INLINE": str(int(self.maintain_inline)),
            "RUNDLET_COUNTERS": str(self.counters_path or ""),
            "RUNDLET_TOKENS": str(self.tokens_path or ""),
            "RUNDLET_OPEN": str(int(self.open_without_tokens)),
            "RUNDLET_AUDIT": str(self.audit_path or ""),
            "RUNDLET_LOG_FORMAT": self.log_format,
            "RUNDLET_SLOW_MS": str(self.slow_s * 1_000),
            "RUNDLET_MAX_UPLOADS": str(self.uploads_max or ""),
            "RUNDLET_CORS_ORIGIN": " ".join(self.cors_origins),
            "RUNDLET_ALLOW_HOST": " ".join(self.host_names),
            "RUNDLET_MAX_CONNECTIONS": str(self.connections.connections_max),
            "RUNDLET_MAX_HEADER_BYTES": str(self.connections.header_bytes_max),
            "RUNDLET_HEADER_TIMEOUT": str(self.connections.header_timeout_s),
            "RUNDLET_BODY_TIMEOUT": str(self.connections.body_timeout_s),
            "RUNDLET_IDLE_TIMEOUT": str(self.connections.idle_timeout_s),
            **{
                variable: str(getattr(self.limits, name))
                for name, variable in _LIMIT_VARIABLES.items()
            },
        }


def shown_limits(settings: ServerSettings, limits: Limits) -> dict[str, object]:
    """Every limit by its name, for ``/v1``; ``limits`` are those of the store."""
    shown = {
        **dataclasses.asdict(limits),
        "txn_body_bytes_max": txn_body_bytes_max(limits),
        "mget_body_bytes_max": mget_body_bytes_max(limits),
        **dataclasses.asdict(settings.connections),
    }
    if settings.uploads_max is None:  # a server that reads whole bodies, up to a cap of its own
        shown["body_bytes_max"] = server_body_bytes_max(limits)
    else:
        shown["uploads_max"] = settings.uploads_max
    return shown


class _Reader:
    """Reads variables by kind, naming the one that cannot be read."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def path(self, name: str) -> Path | None:
        text = self._environ.get(name)
        return Path(text) if text else None

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(self._environ.get(name, "").split())

    def connections(self) -> ConnectionLimits:
        default = ConnectionLimits()
        connections_max = self.size("RUNDLET_MAX_CONNECTIONS") or default.connections_max
        header_bytes_max = self.size("RUNDLET_MAX_HEADER_BYTES") or default.header_bytes_max
        return ConnectionLimits(
            connections_max=connections_max,
            header_bytes_max=header_bytes_max,
            header_timeout_s=self.seconds("RUNDLET_HEADER_TIMEOUT", default.header_timeout_s),
            body_timeout_s=self.seconds("RUNDLET_BODY_TIMEOUT", default.body_timeout_s),
            idle_timeout_s=self.seconds("RUNDLET_IDLE_TIMEOUT", default.idle_timeout_s),
        )

    def sync(self, name: str) -> SyncPolicy:
        text = self._environ.get(name) or "always"
        match text:
            case "always" | "interval" | "never":
                return text
        raise SettingError(f"{name} is {text!r}; it may be always, interval or never")

    def log_format(self, name: str) -> LogFormat:
        text = self._environ.get(name) or "text"
        match text:
            case "text" | "json":
                return text
        raise SettingError(f"{name} is {text!r}; it may be text or json")

    def flag(self, name: str, *, default: bool) -> bool:
        text = self._environ.get(name)
        if not text:
            return default
        if text in ("0", "1"):
            return text == "1"
        raise SettingError(f"{name} is {text!r}; it may be 0 or 1")

    def size(self, name: str) -> int | None:
        text = self._environ.get(name)
        if not text:
            return None
        if text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0:
            return int(text)
        raise SettingError(f"{name} is {text!r}; it must be a whole number above 0")

    def seconds(self, name: str, default: float) -> float:
        text = self._environ.get(name)
        if not text:
            return default
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if 0 <= seconds < float("inf"):
            return seconds
        raise SettingError(f"{name} is {text!r}; it must be a number of seconds")
