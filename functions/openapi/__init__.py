"""The OpenAPI 3.1 document: written by hand, one module per route family.

Bodies that have types in ``messages`` have their schemas from these. A test holds the document and
the routes of the application together, in both directions.
"""

from __future__ import annotations

from rundlet_server.functions.access.admission import OPEN_ROUTES
from rundlet_server.functions.openapi.batches import BATCH_PATHS, BATCH_SCHEMAS
from rundlet_server.functions.openapi.lists import LIST_PATHS, LIST_SCHEMAS
from rundlet_server.functions.openapi.parts import PROBLEM_SCHEMA, Json, problems
from rundlet_server.functions.openapi.service import SERVICE_PATHS, SERVICE_SCHEMAS
from rundlet_server.functions.openapi.values import VALUE_PATHS


def openapi_document(version: str) -> Json:
    """The document for a release of the software."""
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
            "schemas": {
                "Problem": PROBLEM_SCHEMA,
                **LIST_SCHEMAS,
                **BATCH_SCHEMAS,
                **SERVICE_SCHEMAS,
            },
        },
    }


_METHODS = frozenset({"get", "head", "put", "post", "delete"})


def _guarded(paths: Json) -> Json:
    """Paths with the answers of every operation that may need a token."""
    guarded = dict(paths)
    for path in guarded.keys() - OPEN_ROUTES:
        item = guarded[path]
        assert isinstance(item, dict)
        guarded[path] = {name: _guard(name, part) for name, part in item.items()}
    return guarded


def _guard(name: str, part: object) -> object:
    if name not in _METHODS or not isinstance(part, dict):
        return part
    return {**part, "responses": {**problems(401, 403, 501, 503), **part["responses"]}}
