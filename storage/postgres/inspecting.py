"""Inspect a database for an operator."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import psycopg

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.postgres.failures import raise_for, translated
from rundlet_server.storage.postgres.place import Place

_SETTINGS: Final = "fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names"
_FACTS: Final = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
    COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
    pg_is_in_recovery(), extract(epoch FROM clock_timestamp())::float8,
    (SELECT count(*) FROM pg_stat_replication)
"""
_RIGHT: Final = "SELECT has_table_privilege(%s, 'INSERT') AND has_table_privilege(%s, 'DELETE')"


class Database(NamedTuple):
    """A database and the store in it.

    Attributes:
        version_number: 150004 is 15.4.
        version: for people.
        is_tls, is_local: how it is reached.
        is_standby: it takes no writes.
        replica_count: standbys that are connected, as far as this user may know.
        clock_ahead_s: how far its clock is ahead of this machine's, about.
        settings: ``fsync`` and others, by name.
        may_write: this user may change the tables.
    """

    version_number: int
    version: str
    is_tls: bool
    is_local: bool
    is_standby: bool
    replica_count: int
    clock_ahead_s: float
    settings: dict[str, str]
    may_write: bool


def inspect_database(address: StoreAddress) -> Database:
    """Ask a database in which there is a store; nothing is changed.

    Raises:
        InvalidAddress: see ``Place.of``.
        Unavailable: it cannot be reached, or refuses.
    """
    place = Place.of(address)
    try:
        with psycopg.connect(place.conninfo, autocommit=True, prepare_threshold=None) as link:
            began_s = time.time()
            [facts] = link.execute(_FACTS).fetchall()
            middle_s = (began_s + time.time()) / 2
            number, version, is_tls, is_standby, now_s, replicas = facts
            shown = {name: _setting(link, name) for name in _SETTINGS}
            table = f"{place.schema}.kv"
            [may_write] = link.execute(_RIGHT, (table, table)).fetchone() or (False,)
            host = link.info.host
    except psycopg.Error as ex:
        raise_for(ex, translated(ex))
    is_local = host.startswith(("/", "127.")) or host in ("", "localhost", "::1")
    return Database(
        number,
        version,
        is_tls,
        is_local,
        is_standby,
        replicas,
        now_s - middle_s,
        shown,
        may_write,
    )


def _setting(link: psycopg.Connection, name: str) -> str:
    [value] = link.execute("SELECT current_setting(%s, true)", (name,)).fetchone() or ("",)
    return value or ""
