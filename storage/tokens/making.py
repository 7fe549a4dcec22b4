"""Make tokens and change lists of them, in the same way for every place that keeps tokens."""

from __future__ import annotations

import secrets
from typing import Final

from rundlet_server.storage.errors import InvalidRequest
from rundlet_server.storage.tokens.interface import BEGINNING, Scope, Token, digest_of

NAME_CHARACTERS_MAX: Final = 64


def new_token(
    name: str, scope: Scope, *, prefix: str, expires_us: int | None, now_us: int
) -> tuple[Token, str]:
    """Return a token with its secret; see ``TokenStore.add``.

    Raises:
        InvalidRequest: the name, the prefix or the expiry is not legal.
    """
    if not name.isprintable() or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise InvalidRequest(f"a name has 1 to {NAME_CHARACTERS_MAX} printable characters")
    try:
        prefix.encode()
    except UnicodeEncodeError as ex:
        raise InvalidRequest("the prefix cannot be encoded as UTF-8") from ex
    if expires_us is not None and expires_us <= now_us:
        raise InvalidRequest("the token would have expired already")
    token_id = secrets.token_hex(4)
    secret = f"{BEGINNING}{token_id}_{secrets.token_urlsafe(32)}"
    return Token(token_id, name, scope, prefix, now_us, expires_us, digest_of(secret)), secret


def add_to(tokens: list[Token], token: Token) -> None:
    """Add a token to a list.

    Raises:
        InvalidRequest: a token in the list has the same name.
    """
    if any(other.name == token.name for other in tokens):
        message = f"there is already a token named {token.name!r}; choose another name"
        raise InvalidRequest(message)
    tokens.append(token)


def remove_from(tokens: list[Token], name: str) -> Token | None:
    """Remove a token by name or id, and return it; ``None`` if there is none."""
    for token in tokens:
        if name in (token.name, token.token_id):
            tokens.remove(token)
            return token
    return None
