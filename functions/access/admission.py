"""Who may do what: the one place that decides on scopes, and the check of prefixes.

Without tokens everybody who reaches the port may do everything. As soon as there is one, each
request needs ``Authorization: Bearer SECRET``. The router asks ``Access.admit`` before a resource
is called; resources ask ``require_keys`` and ``visible_prefix`` for every key that they touch or
show, which costs nothing where no token with a prefix is in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from rundlet_server.functions.access.hosts import HostNames
from rundlet_server.functions.problems import RETRY_LATER, Problem
from rundlet_server.functions.route_table import Route
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.tokens.file import Scope, Token, TokenTable

_CALLER: Final = "rundlet.caller"
_NAMED_KEYS: Final = "rundlet.named_keys"

_RANKS: Final[dict[Scope, int]] = {"read": 0, "write": 1, "admin": 2}


class Caller(NamedTuple):
    """Who makes a request, while tokens are in force.

    Attributes:
        token: the token; ``None`` if the request was not authenticated.
        route: the route that is asked for.
        counters: of what is refused.
    """

    token: Token | None
    route: Route
    counters: OperationCounters


class TokenSource(Protocol):
    """Where the tokens in force are told: ``storage.tokens.watch.TokenWatch``."""

    def current(self) -> TokenTable:
        """The tokens now."""


class _NoTokens:
    """Of a store that can have none."""

    def __init__(self) -> None:
        self._table = TokenTable([])

    def current(self) -> TokenTable:
        return self._table


NO_TOKENS: Final = _NoTokens()


class Access:
    """Decides who is let in. Any thread may ask."""

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
            source: tells the tokens in force.
            counters: of what is refused.
            is_open: everybody is let in while there is no token; else nobody is.
            hosts: by these names everybody is, where not all will do.
            clock: microseconds since the epoch.
        """
        self._source = source
        self._counters = counters
        self._is_open = is_open
        self._hosts = hosts
        self._clock = clock

    def admit(self, environ: dict[str, object], method: str, route: Route) -> None:
        """Authenticate and authorize a request to a route, and note who makes it.

        A method that the route does not answer needs a token too, but no scope: whatever the
        token, the answer is 405.

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
        if _RANKS[token.scope] < _RANKS[rule.scope]:
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

    def _token(self, environ: Mapping[str, object], table: TokenTable) -> Token:
        header = environ.get("HTTP_AUTHORIZATION")
        if not isinstance(header, str):
            self._counters.add("refused_missing")
            raise _unauthorized("send Authorization: Bearer with a token", "Bearer")
        scheme, _, secret = header.partition(" ")
        token = table.find(secret.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            self._counters.add("refused_unknown")
            raise _unauthorized("this server does not know this token", _INVALID)
        return token

    def _require_current(self, token: Token) -> None:
        if token.expires_us is not None and token.expires_us <= self._clock():
            self._counters.add("refused_expired")
            raise _unauthorized("this token has expired; ask for a new one", _INVALID)

    def _refuse_damaged(self, ex: StoreError, route: Route) -> None:
        if not route.is_open:
            # Without the reason, which names folders of the machine: this answer is public.
            detail = (
                "the server cannot read its tokens and refuses all requests that need one; run"
                " 'rundlet token ls' on the server to see why"
            )
            raise Problem(503, "tokens-damaged", detail, headers=RETRY_LATER) from ex


_INVALID: Final = 'Bearer error="invalid_token"'


def caller_of(environ: Mapping[str, object]) -> Caller | None:
    """Who makes a request; ``None`` where everybody is let in."""
    caller = environ.get(_CALLER)
    return caller if isinstance(caller, Caller) else None


def note_keys(environ: dict[str, object], keys: Iterable[str]) -> None:
    """Keep the keys that a body names, for the audit trail, where one is kept."""
    if _CALLER in environ:
        environ[_NAMED_KEYS] = list(dict.fromkeys(keys))


def noted_keys(environ: Mapping[str, object]) -> object:
    """What ``note_keys`` kept; ``None`` where the path says it all."""
    return environ.get(_NAMED_KEYS)


def require_keys(environ: Mapping[str, object], keys: Iterable[str]) -> None:
    """Refuse keys that the caller's token is not for, whether they exist or not.

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


def visible_prefix(environ: Mapping[str, object], prefix: str) -> str:
    """The prefix of a list that the caller may see: the one asked for, or the token's own.

    Raises:
        Problem: 403 ``forbidden``: no key that begins so is for this token.
    """
    caller = caller_of(environ)
    own = _own_prefix(caller) if caller else ""
    if prefix.startswith(own):
        return prefix
    if caller and not own.startswith(prefix):
        raise _outside(caller)
    return own


def _own_prefix(caller: Caller) -> str:
    assert caller.token is not None  # who could not be told was not let in
    return caller.token.prefix


def _outside(caller: Caller) -> Problem:
    detail = f"this token is for keys that begin with {_own_prefix(caller)!r}"
    return _forbidden(caller, detail)


def _forbidden(caller: Caller, detail: str) -> Problem:
    caller.counters.add("refused_forbidden")
    return Problem(403, "forbidden", detail)


def _unauthorized(detail: str, challenge: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})
