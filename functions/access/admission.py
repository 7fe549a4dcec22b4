"""Authentication and authorization: scopes by the table of routes, and prefixes of tokens.

There is no authentication until there is a token. From then on each request to a route that is not
open needs ``Authorization: Bearer SECRET``. The router calls ``Access.admit`` before a resource;
resources call ``require_keys`` and ``visible_prefix`` for every key that they touch or show.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from rundlet_server.functions.access.hosts import HostNames
from rundlet_server.functions.problems import RETRY_LATER, Problem
from rundlet_server.functions.route_table import Route, Rule
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.errors import StoreError, Unavailable
from rundlet_server.storage.tokens.interface import Scope, Token, TokenSource, TokenTable

_CALLER: Final = "rundlet.caller"
_NAMED_KEYS: Final = "rundlet.named_keys"
_REVISION: Final = "rundlet.revision"

_RANKS: Final[dict[Scope, int]] = {"read": 0, "write": 1, "admin": 2}


class Caller(NamedTuple):
    """The caller of a request to a server that requires tokens.

    Attributes:
        token: the token; ``None`` if the request was not authenticated.
        route: the requested route.
        counters: count refused requests.
    """

    token: Token | None
    route: Route
    counters: OperationCounters


class _NoTokens:
    """The tokens of a store that cannot have any."""

    def __init__(self) -> None:
        self._table = TokenTable([])

    def current(self) -> TokenTable:
        return self._table


NO_TOKENS: Final = _NoTokens()


class Access:
    """Authenticates and authorizes requests. Any thread may call it."""

    def __init__(
        self,
        source: TokenSource,
        counters: OperationCounters,
        *,
        is_open: bool,
        hosts: HostNames | None = None,
        clock: Callable[[], int] = system_clock_us,
    ) -> None:
        """Decide by the tokens of ``source``.

        Args:
            source: the tokens in force.
            counters: count refused requests.
            is_open: if there is no token, admit every request; if false, reject every request then.
            hosts: allowed host names of requests while there is no token; by default all.
            clock: microseconds since the epoch.
        """
        self._source = source
        self._counters = counters
        self._is_open = is_open
        self._hosts = hosts
        self._clock = clock

    def admit(self, environ: dict[str, object], method: str, route: Route) -> None:
        """Authenticate and authorize a request to a route, and record its caller.

        A method that the route does not support needs a token of any scope, because the answer
        is 405 in any case.

        Raises:
            Problem: 401 ``unauthorized``, 403 ``forbidden`` or ``host-not-allowed``, 503
                ``tokens-damaged``.
        """
        try:
            table = self._source.current()
        except StoreError as ex:
            self._refuse_damaged(ex, route)
            return
        if not table.tokens and self._is_open:
            if self._hosts is not None:
                self._hosts.require_own(environ)
            return
        if route.is_open or method == "OPTIONS":
            return
        environ[_CALLER] = Caller(None, route, self._counters)
        token = self._token(environ, table)
        caller = Caller(token, route, self._counters)
        environ[_CALLER] = caller
        self._require_current(token)
        rule = route.rules.get(method)
        if rule is None:
            return
        if not _is_in_scope(token, rule):
            detail = (
                f"this request needs a token of scope {rule.scope!r}, and this token has scope"
                f" {token.scope!r}; send one with the scope that is needed"
            )
            raise _forbidden(caller, detail)
        if token.prefix and route.keys == "all":
            detail = (
                "this request is about all keys, and this token is limited to the prefix"
                f" {token.prefix!r}; send a token without a prefix"
            )
            raise _forbidden(caller, detail)

    def admits(
        self, environ: dict[str, object], route: Route, rule: Rule, keys: Iterable[str]
    ) -> bool:
        """Return whether ``admit`` and ``require_keys`` would admit a request for these keys.

        If so, record its caller. If not, count nothing: the caller of this method then calls those
        two, which count the refusal and report the reason.

        Args:
            environ: of the request; it has ``HTTP_HOST``.
            route: the requested route.
            rule: the rule of the route for the request's method.
            keys: all keys that the request reads or writes.
        """
        try:
            table = self._source.current()
        except StoreError:
            return False
        if not table.tokens and self._is_open:
            return self._is_own(str(environ["HTTP_HOST"]))
        token = _token_given(environ.get("HTTP_AUTHORIZATION"), table)
        if (
            token is None
            or self._is_expired(token)
            or not _is_in_scope(token, rule)
            or not all(key.startswith(token.prefix) for key in keys)
        ):
            return False
        environ[_CALLER] = Caller(token, route, self._counters)
        return True

    def admits_open(self, host: str) -> bool:
        """Return whether ``admit`` admits a request to a route that is open."""
        try:
            table = self._source.current()
        except StoreError:
            return True
        return bool(table.tokens) or not self._is_open or self._is_own(host)

    def readmit(self, environ: Mapping[str, object]) -> None:
        """Authenticate the caller of a long-running request again.

        Raises:
            Problem: 401 ``unauthorized``: the token has expired or was revoked, or the request had
                none and the first token has been created since; 503 ``tokens-damaged``.
        """
        caller = caller_of(environ)
        try:
            table = self._source.current()
        except StoreError as ex:
            raise _unreadable_tokens(ex) from ex
        if caller is None or caller.token is None:
            if table.tokens or not self._is_open:
                raise _unauthorized("this server needs a token by now; send one", "Bearer")
        elif caller.token in table.tokens:
            self._require_current(caller.token)
        else:
            detail = "the token in Authorization has been revoked; send a new one"
            raise _unauthorized(detail, _INVALID)

    def _token(self, environ: Mapping[str, object], table: TokenTable) -> Token:
        header = environ.get("HTTP_AUTHORIZATION")
        if not isinstance(header, str):
            self._counters.add("refused_missing")
            raise _unauthorized(
                "this server needs a token; send it as 'Authorization: Bearer TOKEN'", "Bearer"
            )
        token = _token_given(header, table)
        if token is None:
            self._counters.add("refused_unknown")
            detail = (
                "this server does not know the token in Authorization; send one that was created"
                " for it and has not been revoked"
            )
            raise _unauthorized(detail, _INVALID)
        return token

    def _require_current(self, token: Token) -> None:
        if self._is_expired(token):
            self._counters.add("refused_expired")
            raise _unauthorized("the token in Authorization has expired; send a new one", _INVALID)

    def _is_expired(self, token: Token) -> bool:
        return token.expires_us is not None and token.expires_us <= self._clock()

    def _is_own(self, host: str) -> bool:
        return self._hosts is None or self._hosts.is_own(host)

    def _refuse_damaged(self, ex: StoreError, route: Route) -> None:
        if not route.is_open:
            raise _unreadable_tokens(ex) from ex


_INVALID: Final = 'Bearer error="invalid_token"'


def caller_of(environ: Mapping[str, object]) -> Caller | None:
    """Return the caller of a request; ``None`` if it needed no token."""
    caller = environ.get(_CALLER)
    return caller if isinstance(caller, Caller) else None


def note_keys(environ: dict[str, object], keys: Iterable[str]) -> None:
    """Record the keys that a body names, if the server keeps an audit trail."""
    if _CALLER in environ:
        environ[_NAMED_KEYS] = list(dict.fromkeys(keys))


def noted_keys(environ: Mapping[str, object]) -> object:
    """Return the keys that ``note_keys`` recorded; ``None`` if the body names none."""
    return environ.get(_NAMED_KEYS)


def note_revision(environ: dict[str, object], revision: int) -> None:
    """Record the revision that a request committed, if the server keeps an audit trail."""
    if _CALLER in environ:
        environ[_REVISION] = revision


def noted_revision(environ: Mapping[str, object]) -> object:
    """Return the revision that ``note_revision`` recorded; ``None`` without a commit."""
    return environ.get(_REVISION)


def require_keys(environ: Mapping[str, object], keys: Iterable[str]) -> None:
    """Refuse keys outside of the prefix of the caller's token, whether they exist or not.

    Raises:
        Problem: 403 ``forbidden``.
    """
    caller = environ.get(_CALLER)
    if caller is None:
        return
    assert isinstance(caller, Caller)
    own = _own_prefix(caller)
    if not all(key.startswith(own) for key in keys):
        raise _outside(caller)


def count_covered(environ: Mapping[str, object], keys: Iterable[str]) -> int:
    """Return how many keys come before the first one that the caller's token does not cover."""
    caller = environ.get(_CALLER)
    own = _own_prefix(caller) if isinstance(caller, Caller) else ""
    return sum(1 for _ in itertools.takewhile(lambda key: key.startswith(own), keys))


def visible_prefix(environ: Mapping[str, object], prefix: str) -> str:
    """Return the prefix of a list that the caller may see: the one asked for, or the token's.

    Raises:
        Problem: 403 ``forbidden``: all keys with this prefix are outside of the token's.
    """
    caller = caller_of(environ)
    own = _own_prefix(caller) if caller else ""
    if prefix.startswith(own):
        return prefix
    if caller and not own.startswith(prefix):
        raise _outside(caller)
    return own


def _token_given(authorization: object, table: TokenTable) -> Token | None:
    """Return the token that ``Authorization`` names, expired or not."""
    scheme, _, secret = str(authorization or "").partition(" ")
    return table.find(secret.strip()) if scheme.lower() == "bearer" else None


def _is_in_scope(token: Token, rule: Rule) -> bool:
    return _RANKS[token.scope] >= _RANKS[rule.scope]


def _own_prefix(caller: Caller) -> str:
    assert caller.token is not None  # a request that is not authenticated is not admitted
    return caller.token.prefix


def _outside(caller: Caller) -> Problem:
    detail = (
        f"this token is limited to keys with the prefix {_own_prefix(caller)!r};"
        " send a token that covers all keys of the request"
    )
    return _forbidden(caller, detail)


def _forbidden(caller: Caller, detail: str) -> Problem:
    caller.counters.add("refused_forbidden")
    return Problem(403, "forbidden", detail)


def _unreadable_tokens(ex: StoreError) -> Problem:
    if isinstance(ex, Unavailable):
        detail = "the server cannot read its tokens now; send the request again later"
        return Problem(503, "unavailable", detail, headers=RETRY_LATER)
    # Without the reason, which names folders of the machine: this answer is public.
    detail = (
        "the server cannot read its tokens and refuses all requests that need one; run"
        " 'rundlet token ls' on the server to see why"
    )
    return Problem(503, "tokens-damaged", detail, headers=RETRY_LATER)


def _unauthorized(detail: str, challenge: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})
