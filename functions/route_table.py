"""The routes of the API: one row each, with everything that other modules need to know of it.

The router reads paths and methods from it; ``access`` scopes, prefixes and which routes are open;
the audit trail which requests to record; the metrics their labels; CORS the methods; and a test
which operations the OpenAPI document must describe. A new route needs a row of this table, a
resource in ``routes``, a line in ``app`` that joins the two, and an entry in ``openapi``; tests
check that none is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from rundlet_server.storage.tokens.interface import Scope

Keys = Literal["none", "path", "body", "list", "all"]
"""Which keys a route reads, writes or shows: decides how the prefix of a token applies to it.

``none``: it shows no key, and any token may use it. ``path``: the key in the path must be within
the prefix. ``body``: every key in the body must be. ``list``: the prefix narrows the answer, and a
list outside of it is refused. ``all``: it is about the whole store, so a token with a prefix is
refused before the resource is called. Resources check ``path``, ``body`` and ``list`` themselves
(``admission.require_keys`` and ``visible_prefix``), because only they know the keys.
"""
_KEY_FIELD: Final = "{key:path}"
_FIELD: Final = re.compile(r"\{([a-z]+)\}")


class Rule(NamedTuple):
    """How one method of a route is treated.

    Attributes:
        scope: the lowest scope of a token that may call it.
        is_audited: the audit trail records every request; otherwise only refused requests.
        is_short: it takes at most about a millisecond besides its calls of ``Waits``, so a server
            with an event loop answers it in the loop. Otherwise the server answers it in a thread.
    """

    scope: Scope
    is_audited: bool
    is_short: bool


@dataclass(frozen=True, slots=True)
class Route:
    """A path, or all paths below a prefix, and its methods.

    Attributes:
        template: its name in metrics, the log and the audit trail; with ``{key:path}`` at its end,
            the rest of the path is a key, slashes included. Any other field (``{id}``) is one
            segment of the path, and only fields follow the first one.
        rules: for each method that it answers, besides ``OPTIONS``.
        keys: how the prefix of a token applies.
        is_open: it answers without a token, because it reveals nothing of the data, and probes,
            browsers and tools request it first.
        is_page: it is a part of the dashboard, for browsers; the OpenAPI document leaves it out.
    """

    template: str
    rules: Mapping[str, Rule]
    keys: Keys
    is_open: bool = False
    is_page: bool = False

    @property
    def has_key(self) -> bool:
        """Whether the path ends with a key."""
        return self.template.endswith(_KEY_FIELD)

    @property
    def base(self) -> str:
        """The path before its first field, which is the same in every request."""
        return self.template.partition("{")[0]

    @property
    def fields(self) -> list[str]:
        """The names of the fields that are one segment of the path each."""
        return [] if self.has_key else _FIELD.findall(self.template)

    @property
    def path(self) -> str:
        """The template as OpenAPI spells it."""
        return self.base + "{key}" if self.has_key else self.template

    @property
    def methods(self) -> list[str]:
        """The methods that it answers, as ``Allow`` lists them."""
        return sorted([*self.rules, "OPTIONS"])


_SHORT_READ: Final = Rule("read", is_audited=False, is_short=True)
_LONG_READ: Final = Rule("read", is_audited=False, is_short=False)
_SHORT_WRITE: Final = Rule("write", is_audited=True, is_short=True)
_LONG_WRITE: Final = Rule("write", is_audited=True, is_short=False)
_ADMINISTER: Final = Rule("admin", is_audited=True, is_short=False)
_ADMIN_READ: Final = Rule("admin", is_audited=False, is_short=False)

_SHORT_READS: Final = {"GET": _SHORT_READ, "HEAD": _SHORT_READ}
_LONG_READS: Final = {"GET": _LONG_READ, "HEAD": _LONG_READ}
_ADMIN_READS: Final = {"GET": _ADMIN_READ, "HEAD": _ADMIN_READ}
_HISTORY: Final = {"GET": _LONG_READ, "DELETE": _ADMINISTER}
_VALUE: Final = {**_SHORT_READS, "PUT": _SHORT_WRITE, "DELETE": _SHORT_WRITE}

ROOT: Final = Route("/", _SHORT_READS, keys="none", is_open=True)
SERVICE: Final = Route("/v1", _SHORT_READS, keys="none")
KV: Final = Route("/v1/kv/{key:path}", _VALUE, keys="path")
KV64: Final = Route("/v1/kv64/{key:path}", _VALUE, keys="path")
KEYS: Final = Route("/v1/keys", {**_LONG_READS, "DELETE": _LONG_WRITE}, keys="list")
MGET: Final = Route("/v1/mget", {"POST": _SHORT_READ}, keys="body")
TXN: Final = Route("/v1/txn", {"POST": _SHORT_WRITE}, keys="body")
CHANGES: Final = Route("/v1/changes", {"GET": _SHORT_READ}, keys="list")
HISTORY: Final = Route("/v1/history/{key:path}", _HISTORY, keys="path")
HISTORY64: Final = Route("/v1/history64/{key:path}", _HISTORY, keys="path")
DIFF: Final = Route("/v1/diff", {"GET": _LONG_READ}, keys="list")
ROLLBACK: Final = Route("/v1/rollback", {"POST": _LONG_WRITE}, keys="body")
EXPORT: Final = Route("/v1/export", {"GET": _SHORT_READ}, keys="list")
IMPORT: Final = Route("/v1/import", {"POST": _LONG_WRITE}, keys="body")
STATS: Final = Route("/v1/stats", _LONG_READS, keys="all")
COMPACT: Final = Route("/v1/admin/compact", {"POST": _ADMINISTER}, keys="all")
RETENTION: Final = Route(
    "/v1/admin/retention", {"GET": _ADMIN_READ, "PUT": _ADMINISTER}, keys="all"
)
BACKUPS: Final = Route("/v1/backup", {"POST": _ADMINISTER}, keys="all")
BACKUP: Final = Route("/v1/backup/{id}", {**_ADMIN_READS, "DELETE": _ADMINISTER}, keys="all")
BACKUP_FILE: Final = Route("/v1/backup/{id}/{file}", _ADMIN_READS, keys="all")
TOKENS: Final = Route("/v1/tokens", {**_ADMIN_READS, "POST": _ADMINISTER}, keys="all")
TOKEN: Final = Route("/v1/tokens/{name}", {"DELETE": _ADMINISTER}, keys="all")
METRICS: Final = Route("/metrics", _LONG_READS, keys="all")
LIVEZ: Final = Route("/livez", _SHORT_READS, keys="none", is_open=True)
READYZ: Final = Route("/readyz", _SHORT_READS, keys="none", is_open=True)
OPENAPI: Final = Route("/openapi.json", _SHORT_READS, keys="none", is_open=True)
UI: Final = Route("/ui/", _SHORT_READS, keys="none", is_open=True, is_page=True)
UI_BARE: Final = Route("/ui", _SHORT_READS, keys="none", is_open=True, is_page=True)
UI_FILE: Final = Route(
    "/ui/static/{build}/{room}/{file}", _SHORT_READS, keys="none", is_open=True, is_page=True
)

ROUTES: Final = {
    route.template: route
    for route in (
        *(ROOT, SERVICE, KV, KV64, KEYS, MGET, TXN, CHANGES, STATS, COMPACT),
        *(HISTORY, HISTORY64, DIFF, ROLLBACK, RETENTION),
        *(EXPORT, IMPORT),
        *(BACKUPS, BACKUP, BACKUP_FILE),
        *(TOKENS, TOKEN),
        *(METRICS, LIVEZ, READYZ, OPENAPI),
        *(UI, UI_BARE, UI_FILE),
    )
}
"""The table, by template."""
METHODS: Final = tuple(dict.fromkeys(name for route in ROUTES.values() for name in route.rules))
"""Every method that at least one route supports, besides ``OPTIONS``."""

_BY_BASE: Final = {route.base: route for route in ROUTES.values()}
_VERSION_PREFIX_SIZE: Final = len("/v1/")


def base_size(path: str) -> int:
    """Return the length of the base in a path if it belongs to a route with fields."""
    return path.find("/", _VERSION_PREFIX_SIZE) + 1


def route_at(path: str) -> Route | None:
    """Return the route at a path; of several with the same base, any one."""
    return _BY_BASE.get(path) or _BY_BASE.get(path[: base_size(path)])
