"""``/v1/backup``."""

from __future__ import annotations

from rundlet_server.functions import route_table as routes
from rundlet_server.functions.openapi.parts import (
    Json,
    header,
    json_answer,
    link,
    problems,
    query,
    request_header,
    schema,
)
from rundlet_server.storage.bounds import BACKUP_LEASE_S, BACKUP_LEASE_S_MAX

_ID: Json = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "Of the backup.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}
_FILE: Json = {
    "name": "file",
    "in": "path",
    "required": True,
    "description": "The name of one of its files.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9.]{0,99}$"},
}
_FILE_HEADERS: Json = {
    "ETag": header("Strong: the SHA-256 of the file."),
    "Accept-Ranges": header("bytes"),
}
_BYTES: Json = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_CONDITIONS = [
    request_header("If-Match", "* or entity tags; 412 unless one of them is the file's."),
    request_header("If-None-Match", "* or entity tags; 304 if one of them is the file's."),
]
_RANGES = [
    request_header("Range", "One range of bytes; several are answered with the whole."),
    request_header("If-Range", "An entity tag; the range counts only if it is the file's."),
]


def _of_backup(method: str) -> Json:
    answer = json_answer("The backup.", "Backup")
    without_body = {"description": "The backup is held."}
    return {
        "operationId": f"{method}_backup",
        "summary": "What a backup consists of; extends its lease.",
        "responses": {
            "200": answer if method == "get" else without_body,
            **problems(400, 404, 410),
        },
    }


def _of_file(method: str) -> Json:
    whole: Json = {"description": "The file.", "headers": _FILE_HEADERS}
    answers: Json = {
        "304": {"description": "Not modified.", "headers": _FILE_HEADERS},
        **problems(400, 404, 410, 412, 500),
    }
    if method == "head":
        answers["200"] = whole
    else:
        part_headers = {**_FILE_HEADERS, "Content-Range": header("The range and the size.")}
        answers["200"] = {**whole, "content": _BYTES}
        answers["206"] = {
            "description": "The bytes asked for.",
            "headers": part_headers,
            "content": _BYTES,
        }
        answers |= problems(416)
    return {
        "operationId": f"{method}_backup_file",
        "summary": "Read a file of a backup; extends its lease.",
        "parameters": [*_CONDITIONS, *(_RANGES if method == "get" else ())],
        "responses": answers,
    }


_TAKEN: Json = {
    **json_answer("The backup is held.", "Backup"),
    "headers": {"Location": header("Where it is.")},
    "links": {
        "Look": link("get_backup", "What it consists of.", id="$response.body#/id"),
        "Read": link(
            "get_backup_file",
            "Its first file.",
            id="$response.body#/id",
            file="$response.body#/files/0/name",
        ),
        "End": link("delete_backup", "End its lease.", id="$response.body#/id"),
    },
}

_TAKE: Json = {
    "operationId": "take_backup",
    "summary": "Hold the store as it is, to be copied.",
    "parameters": [
        query(
            "lease",
            "Seconds after the last request at which the backup ends.",
            schema("LeaseSeconds"),
        )
    ],
    "responses": {"201": _TAKEN, **problems(400, 403, 500, 503, 507)},
}
_ENDED: Json = {"description": "It has ended."}
_END: Json = {
    "operationId": "delete_backup",
    "summary": "End the lease of a backup.",
    "responses": {"204": _ENDED, **problems(400, 404, 410)},
}

BACKUP_PATHS: dict[str, Json] = {
    routes.BACKUPS.path: {"post": _TAKE},
    routes.BACKUP.path: {
        "parameters": [_ID],
        "get": _of_backup("get"),
        "head": _of_backup("head"),
        "delete": _END,
    },
    routes.BACKUP_FILE.path: {
        "parameters": [_ID, _FILE],
        "get": _of_file("get"),
        "head": _of_file("head"),
    },
}

BACKUP_SCHEMAS: dict[str, Json] = {
    "LeaseSeconds": {
        "type": "number",
        "minimum": 1,
        "maximum": BACKUP_LEASE_S_MAX,
        "default": BACKUP_LEASE_S,
    },
    "Backup": {
        "type": "object",
        "required": [
            *("id", "store_id", "revision", "oldest_revision", "time", "files", "expires"),
        ],
        "properties": {
            "id": {"type": "string"},
            "store_id": {"type": "string"},
            "revision": schema("Revision"),
            "oldest_revision": schema("Revision"),
            "time": {
                "type": "string",
                "format": "date-time",
                "description": "Nothing was committed after the revision up to this time.",
            },
            "files": {"type": "array", "items": schema("BackupFile")},
            "expires": {"type": "string", "format": "date-time"},
        },
    },
    "BackupFile": {
        "type": "object",
        "required": ["name", "size", "sha256"],
        "properties": {
            "name": {"type": "string"},
            "size": schema("Count"),
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        },
    },
}
