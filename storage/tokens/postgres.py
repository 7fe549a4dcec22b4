"""The tokens of a store in PostgreSQL: a table beside its data, for all its servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.postgres.connections import Connections
from rundlet_server.storage.postgres.place import Place
from rundlet_server.storage.postgres.schema import prepare
from rundlet_server.storage.tokens.interface import Scope, Token, TokenTable
from rundlet_server.storage.tokens.making import add_to, new_token

LOOK_S: Final = 1.0
"""A server reads the tokens this often, at most, and only when a request comes."""

_READ: Final = """
SELECT token_id, name, scope, prefix, created_us, expires_us, digest FROM {tokens}
    ORDER BY created_us, token_id
"""
_ADD: Final = """
INSERT INTO {tokens} (token_id, name, scope, prefix, created_us, expires_us, digest)
    VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_REMOVE: Final = "DELETE FROM {tokens} WHERE token_id = %s"


class PostgresTokens:
    """The ``TokenStore`` of a database."""

    def __init__(
        self, address: StoreAddress, *, clock: Callable[[], int] = system_clock_us
    ) -> None:
        """Connect; create the tables of the store if they are missing.

        Raises:
            StoreError: see ``PostgresStore``.
        """
        place = Place.of(address)
        prepare(place, address.shown, is_read_only=False)
        self._connections = Connections(place, size_max=1, is_read_only=True)
        self._clock = clock

    def read(self) -> list[Token]:
        """See ``TokenStore.read``."""
        return [
            Token(token_id, name, scope, bytes(prefix).decode(), created_us, expires_us, digest)
            for token_id, name, scope, prefix, created_us, expires_us, digest in (
                self._connections.rows(_READ)
            )
        ]

    def add(
        self, name: str, scope: Scope, *, prefix: str = "", expires_us: int | None = None
    ) -> tuple[Token, str]:
        """See ``TokenStore.add``."""
        token, secret = new_token(
            name, scope, prefix=prefix, expires_us=expires_us, now_us=self._clock()
        )
        arguments = (*token[:3], prefix.encode(), *token[4:])
        if not self._connections.execute(_ADD, arguments):
            tokens = self.read()
            if token not in tokens:  # else it was added before the connection broke
                add_to(tokens, token)
        return token, secret

    def remove(self, name: str) -> Token | None:
        """See ``TokenStore.remove``."""
        for token in self.read():
            if name in (token.name, token.token_id):
                self._connections.execute(_REMOVE, (token.token_id,))
                return token
        return None

    def watch(self) -> PostgresTokenWatch:
        """See ``TokenStore.watch``."""
        return PostgresTokenWatch(self)

    def close(self) -> None:
        """See ``TokenStore.close``."""
        self._connections.close()


class PostgresTokenWatch:
    """The ``TokenSource`` of a database; its tokens are at most about a second old."""

    def __init__(
        self, tokens: PostgresTokens, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the tokens. ``clock`` counts seconds."""
        self._tokens = tokens
        self._clock = clock
        self._lock = threading.Lock()
        self._until_s = clock() + LOOK_S
        self._found: TokenTable | StoreError = TokenTable(tokens.read())

    def current(self) -> TokenTable:
        """See ``TokenSource.current``; a change by another process takes effect within a second.

        One thread reads the tokens at a time. The others use the last result meanwhile, so that a
        database that does not answer does not hold up every request.

        Raises:
            Unavailable: the tokens cannot be read, so no request can be admitted.
        """
        if self._clock() >= self._until_s and self._lock.acquire(blocking=False):
            try:
                self._found = self._look()
                self._until_s = self._clock() + LOOK_S
            finally:
                self._lock.release()
        if isinstance(self._found, StoreError):
            raise self._found.with_traceback(None)  # one error for many requests
        return self._found

    def _look(self) -> TokenTable | StoreError:
        try:
            return TokenTable(self._tokens.read())
        except StoreError as ex:
            return ex
