"""The OpenAPI 3.1 document: written by hand, one module per route family.

The schemas of bodies come from their types in ``messages``, if they have any. A test checks that
the document describes every route of the application and no other.
"""

from __future__ import annotations

from rundlet_server.functions.openapi.backups import BACKUP_PATHS, BACKUP_SCHEMAS
from rundlet_server.functions.openapi.batches import BATCH_PATHS, batch_schemas
from rundlet_server.functions.openapi.changes import CHANGE_PATHS, change_schemas
from rundlet_server.functions.openapi.history import HISTORY_PATHS, history_schemas
from rundlet_server.functions.openapi.lists import LIST_PATHS, LIST_SCHEMAS
from rundlet_server.functions.openapi.parts import PROBLEM_SCHEMAS, Json, problems
from rundlet_server.functions.openapi.scalars import scalar_schemas
from rundlet_server.functions.openapi.service import SERVICE_PATHS, SERVICE_SCHEMAS
from rundlet_server.functions.openapi.tokens import TOKEN_PATHS, TOKEN_SCHEMAS
from rundlet_server.functions.openapi.transfers import TRANSFER_PATHS, TRANSFER_SCHEMAS
from rundlet_server.functions.openapi.values import VALUE_PATHS
from rundlet_server.functions.route_table import ROUTES, Route
from rundlet_server.functions.settings import FeedLimits
from rundlet_server.storage.interface import Limits


def openapi_document(version: str, limits: Limits, feeds: FeedLimits | None = None) -> Json:
    """Return the document for a release of the software, over a store with these limits."""
    schemas = {
        **PROBLEM_SCHEMAS,
        **scalar_schemas(limits),
        **LIST_SCHEMAS,
        **batch_schemas(limits),
        **change_schemas((feeds or FeedLimits()).wait_s_max),
        **history_schemas(limits),
        **BACKUP_SCHEMAS,
        **TRANSFER_SCHEMAS,
        **TOKEN_SCHEMAS,
        **SERVICE_SCHEMAS,
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rundlet",
            "version": version,
            "summary": "A key-value server over ordinary HTTP.",
            "description": (
                "Keys are Unicode text, values are bytes with a content type. Every commit has "
                "a revision; conditional requests decide on it. Every error is "
                "application/problem+json."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "tags": [{"name": name, "description": text} for name, (text, _) in _FAMILIES.items()],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed as soon as the server has a token.",
                }
            },
            "schemas": {name: {"title": name, **of} for name, of in schemas.items()},
        },
    }


_FAMILIES: dict[str, tuple[str, dict[str, Json]]] = {
    "values": ("One value.", VALUE_PATHS),
    "lists": ("Keys in order.", LIST_PATHS),
    "batches": ("Many keys at once.", BATCH_PATHS),
    "changes": ("The change feed.", CHANGE_PATHS),
    "history": ("Older values of keys.", HISTORY_PATHS),
    "transfer": ("Exports and imports.", TRANSFER_PATHS),
    "backup": ("Copies of the whole store.", BACKUP_PATHS),
    "tokens": ("Tokens, which authenticate clients.", TOKEN_PATHS),
    "service": ("The server itself.", SERVICE_PATHS),
}


def _paths() -> Json:
    """Return all paths; each operation has its family and the answers of access control."""
    routes = {route.path: route for route in ROUTES.values() if not route.is_page}
    return {
        path: _path_item(name, item, routes[path])
        for name, (_, paths) in _FAMILIES.items()
        for path, item in paths.items()
    }


def _path_item(family: str, item: Json, route: Route) -> Json:
    operations = {method.lower() for method in route.rules}
    return {
        part: _operation(family, of, route) if part in operations else of
        for part, of in item.items()
    }


def _operation(family: str, operation: object, route: Route) -> Json:
    assert isinstance(operation, dict)
    guards = {} if route.is_open else problems(401, 403, 501, 503)
    return {**operation, "tags": [family], "responses": {**guards, **operation["responses"]}}
