"""The types of the bodies of ``/v1/tokens``, of requests and answers.

As in ``messages.answers``, these types are shown in the OpenAPI document.
"""

from __future__ import annotations

from typing import Annotated, Final, NotRequired, TypedDict

from msgspec import Meta, Struct

from rundlet_server.functions.messages.answers import Time
from rundlet_server.functions.messages.moments import TIME_PATTERN, time_us_of
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage.tokens.interface import Scope, Token
from rundlet_server.storage.tokens.making import NAME_CHARACTERS_MAX

_NAME: Final = Meta(
    min_length=1, max_length=NAME_CHARACTERS_MAX, description="Tells tokens apart; printable."
)


_Expiry = Annotated[str, Meta(pattern=f"^{TIME_PATTERN}$")]


class TokenRequest(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A token to create."""

    name: Annotated[str, _NAME]
    scope: Annotated[
        Scope, Meta(description="'write' includes 'read', and 'admin' includes both.")
    ] = "read"
    prefix: Annotated[str, Meta(description="Only for keys that start with it.")] = ""
    expires: Annotated[_Expiry | None, Meta(description="Never, if it is left out.")] = None

    def expires_us(self) -> int | None:
        """Return when it expires, in microseconds since the epoch; ``None``: never.

        Raises:
            Problem: 422 ``bad-members``.
        """
        if self.expires is None:
            return None
        time_us = time_us_of(self.expires)
        if time_us is None:
            detail = "'expires' is no time of RFC 3339; send one as 2030-01-31T12:00:00Z"
            raise Problem(422, "bad-members", detail)
        return time_us


class TokenInfo(TypedDict):
    """A token without its secret."""

    id: Annotated[str, Meta(description="Names it in logs; also a part of the secret.")]
    name: str
    scope: Scope
    prefix: Annotated[str, Meta(description="Of the keys that it is for; '' for all.")]
    created: Time
    expires: NotRequired[Time]


class TokenList(TypedDict):
    """All tokens, in the order they were created; expired ones too."""

    tokens: list[TokenInfo]


class TokenCreated(TokenInfo):
    """A new token with its secret."""

    token: Annotated[str, Meta(description="The secret, which is shown only now.")]
    turned_authentication_on: Annotated[
        bool, Meta(description="It is the first: from now on requests need a token.")
    ]


def token_info(token: Token) -> TokenInfo:
    """Return a token as answers show it."""
    info: TokenInfo = {
        "id": token.token_id,
        "name": token.name,
        "scope": token.scope,
        "prefix": token.prefix,
        "created": rfc3339(token.created_us),
    }
    if token.expires_us is not None:
        info["expires"] = rfc3339(token.expires_us)
    return info
