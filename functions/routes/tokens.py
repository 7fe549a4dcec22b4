"""``/v1/tokens``: list, create and revoke tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

import falcon

from rundlet_server.functions.access.records import (
    TokenCreated,
    TokenList,
    TokenRequest,
    token_info,
)
from rundlet_server.functions.limits import mget_body_bytes_max, mget_body_items_max
from rundlet_server.functions.messages.bodies import answer_type, body_type, encode, read_body
from rundlet_server.functions.messages.decoding import BodyDecoder
from rundlet_server.functions.messages.query import Query
from rundlet_server.functions.messages.target import decode_percent
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.problems import RETRY_LATER, Problem
from rundlet_server.storage.tokens.interface import TokenStore


class TokenKeeper:
    """The tokens of the server's store, if its backend has a place for them."""

    def __init__(self, store: CountedStore, tokens: TokenStore | None) -> None:
        self._store = store
        self._tokens = tokens

    @contextlib.contextmanager
    def open(self, *, is_change: bool) -> Iterator[TokenStore]:
        """Yield the tokens, to read or change them.

        Raises:
            Problem: 501 ``not-supported``, 403 ``read-only``, 503 ``unavailable``.
        """
        if self._tokens is None:
            detail = (
                f"a store of the backend {self._store.info.backend!r} has no place for tokens;"
                " start the server with --tokens DIR"
            )
            raise Problem(501, "not-supported", detail, {"feature": "tokens"})
        if is_change:
            self._store.require_writable()
        try:
            yield self._tokens
        except OSError as ex:
            detail = f"the tokens cannot be read or written now ({ex.strerror}); try again later"
            raise Problem(503, "unavailable", detail, headers=RETRY_LATER) from ex


class TokensResource:
    """All tokens."""

    def __init__(self, keeper: TokenKeeper, store: CountedStore) -> None:
        self._keeper = keeper
        self._body_bytes_max = mget_body_bytes_max(store.info.limits)
        items_max = mget_body_items_max(store.info.limits)
        self._decoder = BodyDecoder(TokenRequest, "mget_body_items_max", items_max)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List them, without their secrets."""
        Query(req)
        media_type = answer_type(req)
        with self._keeper.open(is_change=False) as tokens:
            answer: TokenList = {"tokens": [token_info(token) for token in tokens.read()]}
        _send(resp, answer, media_type)

    on_head = on_get  # Falcon keeps the headers and leaves the body out

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create one."""
        Query(req)
        asked_type = body_type(req)
        media_type = answer_type(req, asked_type)
        with self._keeper.open(is_change=True) as tokens:
            body = read_body(req, "mget_body_bytes_max", self._body_bytes_max)
            asked = self._decoder.decode(body, asked_type)
            is_first = not tokens.read()
            token, secret = tokens.add(
                asked.name, asked.scope, prefix=asked.prefix, expires_us=asked.expires_us()
            )
        answer: TokenCreated = {
            **token_info(token),
            "token": secret,
            "turned_authentication_on": is_first,
        }
        resp.status = 201
        _send(resp, answer, media_type)


class TokenResource:
    """One token."""

    def __init__(self, keeper: TokenKeeper) -> None:
        self._keeper = keeper

    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Revoke it, at once. ``name`` is its name or its id."""
        Query(req)
        with self._keeper.open(is_change=True) as tokens:
            revoked = tokens.remove(decode_percent(name).decode("utf-8", "replace"))
        if revoked is None:
            raise Problem(404, "not-found", "there is no token of this name; list them to see all")
        resp.status = 204


_UNCACHED: Final = (("Cache-Control", "no-store"), ("Vary", "Accept"))


def _send(resp: falcon.Response, answer: Mapping[str, object], media_type: str) -> None:
    resp.content_type = media_type
    resp.set_headers(_UNCACHED)
    resp.data = encode(answer, media_type)
