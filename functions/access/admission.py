"""Who may do what: the one place that decides on scopes, and the check of prefixes.

Without tokens everybody who reaches the port may do everything. As soon as there is one, each
request needs ``Authorization: Bearer SECRET``. The router asks ``Access.admit`` before a resource
is called; resources ask ``require_keys`` and ``visible_prefix`` for every key that they touch or
show, which costs nothing where no token with a prefix is in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from rundlet_server.functions.access.hosts import HostNames
from rundlet_server.functions.problems import RETRY_LATER, Problem
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.tokens.interface import Scope, Token, TokenSource, TokenTable

_CALLER: Final = "rundlet.caller"
_NAMED_KEYS: Final = "rundlet.named_keys"

OPEN_ROUTES: Final = frozenset({"/", "/livez", "/readyz", "/openapi.json"})
"""Routes that tell nothing of the data and that probes, browsers and tools ask for first."""
_WHOLE_STORE: Final = frozenset({"/v1/stats", "/metrics"})
"""Routes that count all keys, which a token for some of them must not be told."""
READS_BY_POST: Final = frozenset({"/v1/mget"})
_WRITE_ROUTES: Final = frozenset({"/v1/kv/{key:path}", "/v1/kv64/{key:path}", "/v1/txn"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_RANKS: Final[dict[Scope, int]] = {"read": 0, "write": 1, "admin": 2}


class Caller(NamedTuple):
    """Who makes a request, while tokens are in force.

    Attributes:
        token: the token; ``None`` where it could not be told.
        route: template of the route that is asked for.
        counters: of what is refused.
    """

    token: Token | None
    route: str
    counters: OperationCounters


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

    def admit(self, environ: dict[str, object], method: str, template: str) -> None:
        """Let a request to a route in, and note who makes it.

        Raises:
            Problem: 401 ``unauthorized``, 403 ``forbidden`` or ``host-not-allowed``, 503
                ``tokens-damaged``.
        """
        try:
            table = self._source.current()
        except StoreError as ex:
            self._refuse_damaged(ex, template)
            return
        if not table.tokens and self._is_open:
            if self._hosts is not None:
                self._hosts.require_own(environ)
            return
        if template in OPEN_ROUTES or method == "OPTIONS":
            return
        environ[_CALLER] = Caller(None, template, self._counters)
        token = self._token(environ, table)
        caller = Caller(token, template, self._counters)
        environ[_CALLER] = caller
        self._require_current(token)
        needed = scope_of(method, template)
        if _RANKS[token.scope] < _RANKS[needed]:
            detail = f"this needs a token of scope {needed!r}; this one has {token.scope!r}"
            raise _forbidden(caller, detail)
        if token.prefix and (template in _WHOLE_STORE or needed == "admin"):
            detail = "this is about all keys; the token is for those of one prefix"
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

    def _refuse_damaged(self, ex: StoreError, template: str) -> None:
        if template not in OPEN_ROUTES:
            # Not why: everybody reads this, and the reason names folders of the machine.
            detail = (
                "nobody is let in, for the server cannot read its tokens;"
                " 'rundlet token ls' on its machine says why"
            )
            raise Problem(503, "tokens-damaged", detail, headers=RETRY_LATER) from ex


_INVALID: Final = 'Bearer error="invalid_token"'


def scope_of(method: str, template: str) -> Scope:
    """The scope that a request needs; what is not listed as anything less needs ``admin``."""
    if template.startswith("/v1/admin/"):
        return "admin"
    if method in _SAFE_METHODS or template in READS_BY_POST:
        return "read"
    return "write" if template in _WRITE_ROUTES else "admin"


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
