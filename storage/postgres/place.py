"""Where the tables are: the URL of a database, and a schema in it.

    postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME&pooling=transaction

All but ``schema`` and ``pooling`` is as libpq has it: several hosts, a service, ``sslmode`` ...
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import InvalidAddress

SCHEMA: Final = "rundlet"
_OPTIONS: Final = ("schema", "pooling")
_SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_POOLING: Final = ("session", "transaction")
_DEFAULTS: Final = {
    "application_name": "rundlet",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",  # milliseconds
    "target_session_attrs": "read-write",  # of several hosts, the primary
    "client_encoding": "UTF8",
}


class Place(NamedTuple):
    """Connection string of a database, and a schema in it.

    Attributes:
        is_session_ours: settings and prepared statements of a connection last until its next
            statement. They do not if a proxy (PgBouncer) pools by transaction.
    """

    conninfo: str
    schema: str
    is_session_ours: bool = True

    @classmethod
    def of(cls, address: StoreAddress) -> Place:
        """Read the address of a store.

        Raises:
            InvalidAddress: it is no URL of a database, or the schema has an unusual name.
        """
        url, _, query = address.text.partition("?")
        # Only libpq's own percent-decoding: to it a + is a +, not a space.
        options = [part for part in query.split("&") if part]
        schema = _last(options, "schema", SCHEMA)
        pooling = _last(options, "pooling", _POOLING[0])
        others = [part for part in options if part.partition("=")[0] not in _OPTIONS]
        if not _SCHEMA_NAME.fullmatch(schema):
            message = f"the schema {schema!r} in {address.shown} is not made of a-z, 0-9 and _"
            raise InvalidAddress(message)
        if pooling not in _POOLING:
            message = f"pooling is {pooling!r} in {address.shown}; write session or transaction"
            raise InvalidAddress(message)
        if others:
            url += f"?{'&'.join(others)}"
        try:
            given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
            return cls(make_conninfo("", **(_DEFAULTS | given)), schema, pooling == _POOLING[0])
        except psycopg.ProgrammingError as ex:
            # libpq quotes the option, which may be a password with a sign that is not escaped.
            message = f"{address.shown} is not the URL of a PostgreSQL database"
            raise InvalidAddress(message) from ex


def _last(options: Sequence[str], name: str, default: str) -> str:
    """Return the value of an option; of several with its name, the last."""
    found = [part.partition("=")[2] for part in options if part.partition("=")[0] == name]
    return unquote(found[-1]) if found else default
