"""The tables of a store, and how they come into being.

All are in one schema of a database; a store is a schema with these tables::

    meta      one row: format, store_id, head, oldest revision, retention, totals
    kv        a row for every event of every key
    commits   revision and time of every commit, back to the oldest revision
    holds     revisions that a long read needs
    lives     one row for each timeline of the database (``failover.lives``)
    tokens    access tokens
    outcomes  of commits with an idempotency key, until they are forgotten

A row of ``kv`` is seen by reads at the revisions from ``rev`` on and below ``end_rev``, which is
null in the newest version of a key that has a value, and ``rev`` itself in what has no value
(``delete``, ``expire``, ``erase``): so one comparison leaves such rows out. ``life`` is the
revision at which the key was created. Versions of one life count up from 1 without a gap.

Every commit locks the row of ``meta`` first and raises its ``rev``, so commits become visible in
the order of their revisions. A sequence would be quicker and have gaps that close later: a feed
that has read up to a revision would miss a commit below it.

``UPGRADES`` holds the statements that lead from each format to the next; format 0 is no tables.
"""

from __future__ import annotations

import functools
import uuid
from typing import Final

import psycopg
from psycopg import sql

from rundlet_server.storage.errors import ReadOnly, UnknownFormat
from rundlet_server.storage.postgres.failures import MISSING_TABLES, RACES, raise_for, translated
from rundlet_server.storage.postgres.place import Place

TABLES: Final = ("meta", "kv", "commits", "holds", "tokens", "lives", "outcomes")
UPGRADES: Final = (
    (
        "CREATE SCHEMA IF NOT EXISTS {schema}",
        """
        CREATE TABLE {meta} (
            id int PRIMARY KEY,
            format int NOT NULL,
            store_id text NOT NULL,
            rev bigint NOT NULL,
            time_us bigint NOT NULL,
            oldest_rev bigint NOT NULL,
            oldest_us bigint NOT NULL,
            keep_versions bigint NOT NULL,
            keep_for_us bigint NOT NULL,
            key_count bigint NOT NULL,
            value_bytes bigint NOT NULL,
            compacted_us bigint NOT NULL
        )
        """,
        """
        CREATE TABLE {kv} (
            k bytea NOT NULL,
            rev bigint NOT NULL,
            seq int NOT NULL,
            end_rev bigint,
            life bigint NOT NULL,
            kind text NOT NULL,
            version bigint NOT NULL,
            time_us bigint NOT NULL,
            type text NOT NULL,
            expires_us bigint,
            size bigint NOT NULL,
            v bytea,
            PRIMARY KEY (k, rev)
        )
        """,
        "CREATE UNIQUE INDEX kv_newest ON {kv} (k) WHERE end_rev IS NULL",
        "CREATE INDEX kv_feed ON {kv} (rev, seq)",
        "CREATE INDEX kv_due ON {kv} (expires_us) WHERE end_rev IS NULL AND expires_us IS NOT NULL",
        "CREATE INDEX kv_expiry ON {kv} (expires_us) WHERE expires_us IS NOT NULL",
        "CREATE INDEX kv_ended ON {kv} (end_rev) WHERE end_rev IS NOT NULL",
        "CREATE TABLE {commits} (rev bigint PRIMARY KEY, time_us bigint NOT NULL)",
        "CREATE INDEX commits_time ON {commits} (time_us, rev)",
        """
        CREATE TABLE {holds} (
            id text PRIMARY KEY,
            rev bigint NOT NULL,
            expires_us bigint NOT NULL
        )
        """,
        """
        CREATE TABLE {tokens} (
            token_id text PRIMARY KEY,
            name text NOT NULL UNIQUE,
            scope text NOT NULL,
            prefix bytea NOT NULL,
            created_us bigint NOT NULL,
            expires_us bigint,
            digest bytea NOT NULL
        )
        """,
        "INSERT INTO {meta} VALUES (1, 1, {store_id}, 0, 0, 0, 0, 10, 3600000000, 0, 0, 0)",
    ),
    (
        """
        CREATE TABLE {lives} (
            rev bigint PRIMARY KEY,
            head bigint NOT NULL,
            timeline text NOT NULL
        )
        """,
    ),
    (
        """
        CREATE TABLE {outcomes} (
            id bytea PRIMARY KEY,
            rev bigint NOT NULL,
            forgotten_s bigint NOT NULL,
            outcome bytea NOT NULL
        )
        """,
        "CREATE INDEX outcomes_forgotten ON {outcomes} (forgotten_s)",
    ),
    ("ALTER TABLE {kv} ADD COLUMN metadata bytea",),  # a CBOR map of texts by name, or null
)
FORMAT: Final = len(UPGRADES)
_ATTEMPTS: Final = 5


class Statements:
    """Statements with the names of a store's tables filled in."""

    def __init__(self, schema: str) -> None:
        self._names = {name: sql.Identifier(schema, name) for name in TABLES}
        self._names["schema"] = sql.Identifier(schema)
        self.sql = functools.cache(self._sql)

    def _sql(self, text: str) -> bytes:
        """Return a statement; ``{kv}`` and the like in it are names of tables."""
        statement: bytes = sql.SQL(text).format(**self._names).as_bytes()
        return statement

    def creating(self, text: str, store_id: str) -> bytes:
        """Return a statement that creates the tables, or a part of them."""
        names = {**self._names, "store_id": sql.Literal(store_id)}
        statement: bytes = sql.SQL(text).format(**names).as_bytes()
        return statement


def prepare(place: Place, shown: str, *, is_read_only: bool) -> str:
    """Create or upgrade the tables if that is needed; return the id of the store.

    Several processes may do it at once: one of them succeeds, the others find its work.

    Raises:
        Unavailable: the database cannot be reached, or refuses.
        ReadOnly: there are no tables, or old ones, and nothing may be written.
        UnknownFormat: a later release has changed them.
    """
    statements = Statements(place.schema)
    for attempt in range(_ATTEMPTS):
        try:
            with psycopg.connect(place.conninfo, autocommit=True) as connection:
                found, store_id = _read(connection, statements)
                if found > FORMAT:
                    raise UnknownFormat(
                        f"{shown}: the tables have format {found}; this release knows {FORMAT}"
                    )
                if found == FORMAT:
                    return store_id
                if is_read_only:
                    raise ReadOnly(f"there is no store in {shown}, and none may be created")
                _upgrade(connection, statements, found)
        except psycopg.Error as ex:
            if ex.sqlstate not in RACES or attempt + 1 == _ATTEMPTS:
                raise_for(ex, translated(ex))
    raise AssertionError("every attempt returns or raises, or is followed by another one")


def _read(connection: psycopg.Connection, statements: Statements) -> tuple[int, str]:
    """Return format and id of the store; format 0 if there are no tables."""
    try:
        row = connection.execute(statements.sql("SELECT format, store_id FROM {meta}")).fetchone()
    except psycopg.ProgrammingError as ex:
        if ex.sqlstate not in MISSING_TABLES:
            raise
        return 0, ""
    return row if row is not None else (0, "")


def _upgrade(connection: psycopg.Connection, statements: Statements, found: int) -> None:
    store_id = uuid.uuid4().hex
    with connection.transaction():
        for number, upgrade in enumerate(UPGRADES[found:], found + 1):
            for text in upgrade:
                connection.execute(statements.creating(text, store_id))
            done = statements.sql("UPDATE {meta} SET format = %s WHERE id = 1")
            connection.execute(done, (number,))
