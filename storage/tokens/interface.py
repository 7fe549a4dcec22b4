"""What servers and the command line see of tokens: two protocols and their values.

A ``TokenStore`` lists and changes tokens, a ``TokenSource`` tells a server which are in force.
Whatever keeps them keeps them as hashes: the secret is 256 random bits, which nobody finds by
trying, so a slow password hash would only slow down requests.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Literal, NamedTuple, Protocol

Scope = Literal["read", "write", "admin"]

BEGINNING: Final = "rundlet_"
DIGEST_SIZE: Final = 32
_NOBODY: Final = bytes(DIGEST_SIZE)


class Token(NamedTuple):
    """What is kept of a token.

    Attributes:
        token_id: 8 hex digits, part of the secret; names the token in logs.
        name: given by whoever made it.
        scope: ``read``; ``write`` reads, too; ``admin`` does everything.
        prefix: the keys it may be used on begin with this; empty for all keys.
        created_us, expires_us: microseconds since the epoch; no ``expires_us``: never.
        digest: SHA-256 of the secret.
    """

    token_id: str
    name: str
    scope: Scope
    prefix: str
    created_us: int
    expires_us: int | None
    digest: bytes


class TokenTable:
    """The tokens at one moment, to be asked with a secret.

    Attributes:
        tokens: in the order they were made.
    """

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self._by_id = {token.token_id: token for token in tokens}

    def find(self, secret: str) -> Token | None:
        """The token a secret belongs to, expired or not.

        The time it takes tells at most whether the secret's id exists, which is no secret; the
        digests are compared in constant time.
        """
        token = self._by_id.get(secret.removeprefix(BEGINNING)[:8])
        digest = digest_of(secret)
        is_right = hmac.compare_digest(digest, token.digest if token else _NOBODY)
        return token if is_right else None


def digest_of(secret: str) -> bytes:
    """What is kept of a secret: its SHA-256."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class TokenSource(Protocol):
    """Tells a server the tokens in force. Any thread may ask, at every request."""

    def current(self) -> TokenTable:
        """The tokens, with every change in them that was finished before this call.

        Raises:
            DamagedTokens, UnknownFormat: they cannot be told, so nobody may be let in.
        """


class TokenStore(Protocol):
    """Where the tokens of a server are kept, to be listed, changed and watched.

    Every method may raise ``DamagedTokens`` or ``UnknownFormat`` where what is kept cannot be
    read, and ``OSError``; then nothing was changed.
    """

    def read(self) -> list[Token]:
        """All tokens, expired ones too, in the order they were made."""

    def add(
        self, name: str, scope: Scope, *, prefix: str = "", expires_us: int | None = None
    ) -> tuple[Token, str]:
        """Make a token; it is in force when this returns.

        Returns:
            The token and its secret, which is kept nowhere.

        Raises:
            InvalidRequest: the name is taken, empty, too long or not printable; the prefix has
                no UTF-8 form; the token would have expired already.
        """

    def remove(self, name: str) -> Token | None:
        """Take back a token by name or id, at once; ``None`` where there is none."""

    def watch(self) -> TokenSource:
        """Begin to tell which tokens are in force; what keeps them is made where it is missing."""
