"""The OpenAPI 3.1 document: written by hand, one module per route family.

A test holds it and the routes of the application together, in both directions.
"""

from __future__ import annotations

from rundlet_server.functions.openapi.batches import BATCH_PATHS, batch_schemas
from rundlet_server.functions.openapi.lists import LIST_PATHS, LIST_SCHEMAS
from rundlet_server.functions.openapi.parts import PROBLEM_SCHEMAS, Json, problems
from rundlet_server.functions.openapi.scalars import scalar_schemas
from rundlet_server.functions.openapi.service import SERVICE_PATHS, SERVICE_SCHEMAS
from rundlet_server.functions.openapi.values import VALUE_PATHS
from rundlet_server.functions.route_table import ROUTES
from rundlet_server.storage.interface import Limits


def openapi_document(version: str, limits: Limits) -> Json:
    """The document for a release of the software, over a store with these limits."""
    schemas = {
        **PROBLEM_SCHEMAS,
        **scalar_schemas(limits),
        **LIST_SCHEMAS,
        **batch_schemas(limits),
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
        "paths": _guarded({**VALUE_PATHS, **LIST_PATHS, **BATCH_PATHS, **SERVICE_PATHS}),
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


def _guarded(paths: Json) -> Json:
    """Paths with the answers of every operation that may need a token."""
    guarded = dict(paths)
    for route in ROUTES.values():
        item = guarded[route.path]
        if not route.is_open and isinstance(item, dict):
            operations = {name.lower(): item[name.lower()] for name in route.rules}
            guarded[route.path] = item | {name: _guard(op) for name, op in operations.items()}
    return guarded


def _guard(operation: Json) -> Json:
    responses = operation["responses"]
    assert isinstance(responses, dict)
    return {**operation, "responses": {**problems(401, 403, 503), **responses}}
