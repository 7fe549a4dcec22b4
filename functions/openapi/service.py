"""The routes about the server itself: ``/v1``, ``/v1/stats``, ``/metrics``, probes and others."""

from __future__ import annotations

from rundlet_server.functions import route_table as routes
from rundlet_server.functions.openapi.parts import Json, json_answer, problems, schema


def _get(name: str, summary: str, answer: Json, *statuses: int) -> Json:
    """Return a route with GET and HEAD."""
    others = problems(400, *statuses)
    without_body = {part: answer[part] for part in answer if part != "content"}
    return {
        "get": {
            "operationId": f"get_{name}",
            "summary": summary,
            "responses": {"200": answer, **others},
        },
        "head": {
            "operationId": f"head_{name}",
            "summary": f"{summary} Headers only.",
            "responses": {"200": without_body, **others},
        },
    }


_METRICS: Json = {
    "description": "Metrics.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}

SERVICE_PATHS: dict[str, Json] = {
    routes.ROOT.path: _get("root", "Read where to start.", json_answer("Paths.", "AnyObject")),
    routes.SERVICE.path: _get("service", "Describe the server.", json_answer("It.", "Service")),
    routes.STATS.path: _get("stats", "Read counts.", json_answer("Counts.", "Stats"), 500),
    routes.COMPACT.path: {
        "post": {
            "operationId": "compact",
            "summary": "Start a compaction.",
            "responses": {
                "202": json_answer("It goes on in the background.", "Status"),
                **problems(400, 403, 503),
            },
        }
    },
    routes.METRICS.path: _get("metrics", "Read counts for Prometheus.", _METRICS, 500),
    routes.LIVEZ.path: _get("livez", "Probe the process.", json_answer("Live.", "Status")),
    routes.READYZ.path: _get("readyz", "Probe the store.", json_answer("Ready.", "Ready"), 503),
    routes.OPENAPI.path: _get(
        "openapi", "This document.", json_answer("The document.", "AnyObject")
    ),
}

SERVICE_SCHEMAS: dict[str, Json] = {
    "AnyObject": {"type": "object"},
    "Status": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string"}},
    },
    "Ready": {
        "type": "object",
        "required": ["status", "ready", "reasons"],
        "properties": {
            "status": {"type": "string"},
            "ready": {"type": "boolean"},
            "reasons": {"type": "array", "items": {"type": "string"}},
            "warnings": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Conditions that need an operator but do not affect clients.",
            },
        },
    },
    "Service": {
        "type": "object",
        "required": [
            *("name", "version", "backend", "store_id", "revision", "read_only"),
            *("sync", "clock_ahead_s", "settings", "limits"),
        ],
        "properties": {
            "name": {"const": "rundlet"},
            "version": {"type": "string"},
            "backend": {"type": "string", "examples": ["log", "file"]},
            "store_id": {"type": "string"},
            "revision": schema("Revision"),
            "read_only": {"type": "boolean"},
            "sync": {"anyOf": [schema("SyncPolicy"), {"type": "null"}]},
            "clock_ahead_s": {
                "type": ["number", "null"],
                "minimum": 0,
                "description": "How far the store's time is ahead of the machine's clock, in"
                " seconds; null if it keeps none.",
            },
            "settings": schema("BackendSettings"),
            "limits": schema("ServerLimits"),
        },
    },
    "SyncPolicy": {"type": "string", "enum": ["always", "interval", "never"]},
    "BackendSettings": {
        "type": "object",
        "description": "Further settings of the backend, by name.",
        "additionalProperties": {"type": ["string", "number"]},
    },
    "ServerLimits": {
        "type": "object",
        "description": "Every limit of this server, by name.",
        "additionalProperties": {"type": "number"},
        "examples": [{"key_bytes_max": 2048}],
    },
    "Stats": {
        "type": "object",
        "required": [
            "revision",
            "oldest_revision",
            "keys",
            "value_bytes",
            "operations",
            "store",
        ],
        "properties": {
            "revision": schema("Revision"),
            "oldest_revision": schema("Revision"),
            "keys": schema("Count"),
            "value_bytes": schema("Count"),
            "operations": schema("OperationCounts"),
            "store": schema("StoreGauges"),
        },
    },
    "OperationCounts": {
        "type": "object",
        "description": "Operations carried out since the server started.",
        "required": ["get", "set", "delete"],
        "properties": {
            "get": schema("Count"),
            "set": schema("Count"),
            "delete": schema("Count"),
        },
    },
    "StoreGauges": {
        "type": "object",
        "description": "Gauges of the backend by name.",
        "additionalProperties": {"type": "number"},
    },
}
