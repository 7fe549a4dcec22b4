"""``/v1/tokens``."""

from __future__ import annotations

from rundlet_server.functions import route_table as routes
from rundlet_server.functions.access.records import (
    TokenCreated,
    TokenList,
    TokenRequest,
)
from rundlet_server.functions.openapi.parts import Json, either_type, problems, schemas_of

_LISTED: Json = {"description": "All tokens.", "content": either_type("TokenList")}
_NAME: Json = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The name of the token, or its id.",
    "schema": {"type": "string", "minLength": 1},
}

TOKEN_PATHS: dict[str, Json] = {
    routes.TOKENS.path: {
        "get": {
            "operationId": "list_tokens",
            "summary": "List tokens, without their secrets.",
            "responses": {"200": _LISTED, **problems(400, 406, 500)},
        },
        "head": {
            "operationId": "head_tokens",
            "summary": "List tokens. Headers only.",
            "responses": {"200": {"description": "All tokens."}, **problems(400, 406, 500)},
        },
        "post": {
            "operationId": "create_token",
            "summary": "Create a token; the first one turns authentication on.",
            "requestBody": {"required": True, "content": either_type("TokenRequest")},
            "responses": {
                "201": {
                    "description": "The token, with its secret.",
                    "content": either_type("TokenCreated"),
                },
                **problems(400, 403, 406, 411, 413, 415, 422, 500, 503),
            },
        },
    },
    routes.TOKEN.path: {
        "parameters": [_NAME],
        "delete": {
            "operationId": "revoke_token",
            "summary": "Revoke a token, at once.",
            "responses": {
                "204": {"description": "The server refuses it from now on."},
                **problems(400, 403, 404, 500, 503),
            },
        },
    },
}

TOKEN_SCHEMAS: dict[str, Json] = schemas_of(TokenList, TokenRequest, TokenCreated)
