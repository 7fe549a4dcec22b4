"""What servers and the command line see of tokens: two protocols and their values.

A ``TokenStore`` lists and changes tokens, a ``TokenSource`` gives a server the valid ones. Every
implementation keeps tokens as hashes: the secret is 256 random bits, which cannot be guessed, so a
slow password hash would only slow down requests.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Literal, NamedTuple, Protocol

Scope = Literal["read", "write", "admin"]

BEGINNING: Final = "rundlet_"
DIGEST_SIZE: Final = 32
_NO_DIGEST: Final = bytes(DIGEST_SIZE)


class Token(NamedTuple):
    """What is kept of a token.

    Attributes:
        token_id: 8 hex digits, part of the secret; names the token in logs.
        name: given when the token was created.
        scope: ``read``; ``write`` reads, too; ``admin`` does everything.
        prefix: the token is valid for keys that begin with this; empty for all keys.
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
    """The tokens at one moment, to be searched by secret.

    Attributes:
        tokens: in the order they were created.
    """

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self._by_id = {token.token_id: token for token in tokens}

    def find(self, secret: str) -> Token | None:
        """Return the token that a secret belongs to, expired or not.

        The time that this takes reveals at most whether the secret's id exists, which is no secret;
        the digests are compared in constant time.
        """
        token = self._by_id.get(secret.removeprefix(BEGINNING)[:8])
        digest = digest_of(secret)
        is_right = hmac.compare_digest(digest, token.digest if token else _NO_DIGEST)
        return token if is_right else None


def digest_of(secret: str) -> bytes:
    """Return what is kept of a secret: its SHA-256."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class TokenSource(Protocol):
    """The valid tokens, for a server. Any thread may use it, at every request."""

    def current(self) -> TokenTable:
        """Return the tokens, with every change that was finished before this call.

        Raises:
            DamagedTokens, UnknownFormat: the tokens cannot be read, so no request can be admitted.
        """


class TokenStore(Protocol):
    """Keeps the tokens of a server, to be listed, changed and watched.

    Every method may raise ``DamagedTokens`` or ``UnknownFormat`` if the tokens cannot be read, and
    ``OSError``; then nothing was changed.
    """

    def read(self) -> list[Token]:
        """Return all tokens, expired ones too, in the order they were created."""

    def add(
        self, name: str, scope: Scope, *, prefix: str = "", expires_us: int | None = None
    ) -> tuple[Token, str]:
        """Create a token; it is valid when this returns.

        Returns:
            The token and its secret, which is kept nowhere.

        Raises:
            InvalidRequest: the name is taken, empty, too long or not printable; the prefix cannot
                be encoded as UTF-8; the token would have expired already.
        """

    def remove(self, name: str) -> Token | None:
        """Revoke a token by name or id, at once, and return it; ``None`` if there is none."""

    def watch(self) -> TokenSource:
        """Begin to watch which tokens are valid; make their file or table if it is missing."""

    def close(self) -> None:
        """Close the connections, if there are any; then nothing can be read, watches included."""
