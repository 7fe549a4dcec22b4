"""``/v1/mget`` and ``/v1/txn``."""

from __future__ import annotations

from rundlet_server.functions.messages.answers import MgetAnswer, TransactionAnswer
from rundlet_server.functions.messages.requests import MgetRequest, Transaction
from rundlet_server.functions.openapi.parts import Json, either_type, problems, schemas_of

BATCH_PATHS: Json = {
    "/v1/mget": {
        "post": {
            "operationId": "get_many",
            "summary": "Read many values of one snapshot.",
            "requestBody": {"required": True, "content": either_type("MgetRequest")},
            "responses": {
                "200": {
                    "description": "One item for each key, in the order asked.",
                    "content": either_type("MgetAnswer"),
                },
                **problems(400, 406, 410, 411, 413, 415, 422),
            },
        }
    },
    "/v1/txn": {
        "post": {
            "operationId": "commit",
            "summary": "Write many keys, all or none, on conditions.",
            "requestBody": {"required": True, "content": either_type("Transaction")},
            "responses": {
                "200": {
                    "description": "Done; 'succeeded' is false where 'else' was done.",
                    "content": either_type("TransactionAnswer"),
                },
                **problems(400, 403, 406, 409, 411, 413, 415, 422, 503, 504, 507),
            },
        }
    },
}


BATCH_SCHEMAS = schemas_of(MgetRequest, MgetAnswer, Transaction, TransactionAnswer)
