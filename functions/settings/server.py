"""The rows of the settings that the functions and the store of a server use.

Worker processes get all of them as environment variables, including those that have an option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from rundlet_server.functions.settings.connections import CONNECTIONS_PANEL, ConnectionLimits
from rundlet_server.functions.settings.feeds import FeedLimits
from rundlet_server.functions.settings.kinds import (
    Address,
    Choice,
    Count,
    Duration,
    File,
    Flag,
    Folder,
    Origins,
    Size,
    Words,
)
from rundlet_server.functions.settings.limits import LIMIT_ROWS, LIMITS_PANEL
from rundlet_server.functions.settings.reading import read, written
from rundlet_server.functions.settings.rows import Setting, group, setting
from rundlet_server.functions.settings.writes import WriteSettings
from rundlet_server.functions.units import shown_seconds
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.settings import StoreSettings, SyncPolicy
from rundlet_server.storage.timeline import Retention

LogFormat = Literal["text", "json"]

_ACCESS: Final = "Access"
_HISTORY: Final = "History"
_LOG: Final = "Log"

_RETENTION: Final = Retention()
_STORE: Final = StoreSettings(boot_id=0)  # only its defaults; does not read the boot id


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of the functions and the store of one process."""

    data_path: Path = setting(
        Path("data"),
        Setting(
            Folder(),
            "The folder of the store.",
            variable="RUNDLET_DATA",
            option="--data",
            used_by="store",
        ),
    )
    store_address: StoreAddress | None = setting(
        None,
        Setting(
            Address(),
            "The store: ./data is a folder, as with --data; file:words.txt is a text file, served"
            " read-only, with its index in words.txt.rundlet-index; memory is the same as"
            " --in-memory; etcd://H1,H2,H3/NAME is a store in an etcd cluster, and"
            " postgresql://USER@HOST/DATABASE one in PostgreSQL.",
            variable="RUNDLET_STORE",
            option="--store",
            default_text="the folder of --data",
            used_by="store",
        ),
    )
    sync: SyncPolicy = setting(
        _STORE.sync,
        Setting(
            Choice(get_args(SyncPolicy)),
            "When a write is on the disk: before it is acknowledged (always), at most"
            " --sync-interval later (interval), or when the system writes it (never).",
            variable="RUNDLET_SYNC",
            option="--sync",
            used_by="store",
        ),
    )
    sync_interval_s: float = setting(
        _STORE.sync_interval_s,
        Setting(
            Duration(),
            "The time between two syncs, for --sync interval.",
            variable="RUNDLET_SYNC_INTERVAL",
            option="--sync-interval",
            used_by="store",
        ),
    )
    read_only: bool = setting(
        False,
        Setting(
            Flag(),
            "Refuse writes. A FILE is served as it is, without a store, with its index in"
            " FILE.rundlet-index.",
            variable="RUNDLET_READ_ONLY",
            option="--read-only",
            used_by="functions",
        ),
    )
    read_only_file: Path | None = setting(
        None,
        Setting(
            File(),
            "The text file to serve instead of a folder.",
            variable="RUNDLET_READ_ONLY_FILE",
            used_by="store",
        ),
    )
    any_key: bool = setting(
        False,
        Setting(
            Flag(),
            "Keys in FILE need not be UUIDs.",
            variable="RUNDLET_ANY_KEY",
            option="--any-key",
            used_by="store",
        ),
    )
    skip_bad: bool = setting(
        False,
        Setting(
            Flag(),
            "Leave out bad lines of FILE.",
            variable="RUNDLET_SKIP_BAD",
            option="--skip-bad",
            used_by="store",
        ),
    )
    maintain_inline: bool = setting(
        True,
        Setting(
            Flag(),
            "Maintain the store in this process; off if a maintenance process does it.",
            variable="RUNDLET_MAINTAIN_INLINE",
            used_by="store",
        ),
    )
    counters_path: Path | None = setting(
        None,
        Setting(
            Folder(),
            "The folder of the counters that all processes of a server share.",
            variable="RUNDLET_COUNTERS",
            default_text="each process counts for itself",
            used_by="functions",
        ),
    )
    tokens_path: Path | None = setting(
        None,
        Setting(
            Folder(),
            "The folder of the tokens.",
            variable="RUNDLET_TOKENS",
            option="--tokens",
            panel=_ACCESS,
            default_text="that of --data",
            used_by="functions",
        ),
    )
    open_without_tokens: bool = setting(
        True,
        Setting(
            Flag(),
            "While there is no token: admit every request, or none.",
            variable="RUNDLET_OPEN",
            used_by="functions",
        ),
    )
    audit_path: Path | None = setting(
        None,
        Setting(
            File(),
            "The file of the audit trail, which is kept while there are tokens.",
            variable="RUNDLET_AUDIT",
            option="--audit",
            panel=_ACCESS,
            default_text="stderr",
            used_by="functions",
        ),
    )
    log_format: LogFormat = setting(
        "text",
        Setting(
            Choice(get_args(LogFormat)),
            "The format of the lines on failed and slow requests, on stderr.",
            variable="RUNDLET_LOG_FORMAT",
            option="--log-format",
            panel=_LOG,
            default_text="text on a terminal, else json",
            used_by="functions",
        ),
    )
    slow_s: float = setting(
        1.0,
        Setting(
            Duration(plain_unit="ms"),
            "A request that takes this long is slow; 0 logs every request. A number without a"
            " unit is in milliseconds.",
            variable="RUNDLET_SLOW_MS",
            option="--slow-ms",
            panel=_LOG,
            used_by="functions",
        ),
    )
    keep_versions: int | None = setting(
        None,
        Setting(
            Count(),
            "How many of the newest versions of each key are kept. The store remembers it.",
            default_text=f"what the store has; {_RETENTION.keep_versions} if it is new",
            variable="RUNDLET_KEEP_VERSIONS",
            option="--keep-versions",
            panel=_HISTORY,
            used_by="store",
        ),
    )
    keep_for_s: float | None = setting(
        None,
        Setting(
            Duration(),
            "How long replaced and deleted values are kept. The store remembers it.",
            default_text=f"what the store has; {shown_seconds(_RETENTION.keep_for_s)} if it is new",
            variable="RUNDLET_KEEP_FOR",
            option="--keep-for",
            panel=_HISTORY,
            used_by="store",
        ),
    )
    exports_max: int | None = setting(
        None,
        Setting(
            Count(),
            "The exports that each process sends at a time.",
            variable="RUNDLET_MAX_EXPORTS",
            option="--max-exports",
            panel=LIMITS_PANEL,
            default_text="a quarter of the threads; granian 8",
            used_by="functions",
        ),
    )
    sending_bytes_max: int = setting(
        256 * 1024 * 1024,
        Setting(
            Size(),
            "The size of all large answers that each process holds in memory until clients have"
            " read them. A single value is sent from the disk, and counts at most 768 KiB.",
            variable="RUNDLET_MAX_SENDING_BYTES",
            option="--max-sending-bytes",
            panel=LIMITS_PANEL,
            used_by="functions",
        ),
    )
    receiving_bytes_max: int = setting(
        256 * 1024 * 1024,
        Setting(
            Size(),
            "The size of all large request bodies that each process holds in memory. Bodies"
            " that do not fit go to temporary files.",
            variable="RUNDLET_MAX_RECEIVING_BYTES",
            option="--max-receiving-bytes",
            panel=LIMITS_PANEL,
            only="granian",
        ),
    )
    limits: Limits = group(Limits, LIMIT_ROWS)
    writes: WriteSettings = group(WriteSettings)
    feeds: FeedLimits = group(FeedLimits)
    cors_origins: tuple[str, ...] = setting(
        (),
        Setting(
            Origins(),
            "Allow web pages of this origin, or of every origin with '*'. May be repeated.",
            variable="RUNDLET_CORS_ORIGIN",
            option="--cors-origin",
            panel=CONNECTIONS_PANEL,
            used_by="functions",
        ),
    )
    host_names: tuple[str, ...] = setting(
        (),
        Setting(
            Words("NAME"),
            "One more host name that requests may have while there are no tokens. May be repeated.",
            variable="RUNDLET_ALLOW_HOST",
            option="--allow-host",
            panel=CONNECTIONS_PANEL,
            default_text="local names",
            used_by="functions",
        ),
    )
    no_ui: bool = setting(
        False,
        Setting(
            Flag(),
            "Do not serve the dashboard, which is at /ui/ otherwise.",
            variable="RUNDLET_NO_UI",
            option="--no-ui",
            panel=CONNECTIONS_PANEL,
            used_by="functions",
        ),
    )
    connections: ConnectionLimits = group(ConnectionLimits)

    @property
    def store(self) -> StoreAddress:
        """The address of the store, from whichever setting names it."""
        if self.store_address is not None:
            return self.store_address
        if self.read_only_file is not None:
            return StoreAddress.of_file(self.read_only_file)
        return StoreAddress.of_folder(self.data_path)

    def of_store(self) -> StoreSettings:
        """Return the settings of the log store and its maintenance process."""
        return StoreSettings(
            sync=self.sync,
            sync_interval_s=self.sync_interval_s,
            keep_versions=self.keep_versions,
            keep_for_s=self.keep_for_s,
            limits=self.limits,
            is_read_only=self.read_only,
            maintain_inline=self.maintain_inline,
        )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> ServerSettings:
        """Read the settings; a missing or empty variable leaves the default.

        Raises:
            SettingError: a variable cannot be read.
        """
        return read(cls(), environ).instance

    def to_environ(self) -> dict[str, str]:
        """Return the variables from which ``from_environ`` reads these settings."""
        return written(self)
