"""Targets of a server with its default options, and of a command of the command line."""

from __future__ import annotations

from typing import Final

from bench.targets.model import Cell, Target

_GRANIAN: Final = "rundlet, granian"
_WAITRESS: Final = "rundlet, waitress"
_CBOR_KEYS_PER_S: Final = 400_000
_WATCHERS: Final = 1_000
_EVENT_MS: Final = 100
_SLOW_CLIENTS: Final = 900
_ALONE, _BOTH = "no puts", "5 % puts"


def _get(system: str) -> Cell:
    return Cell("http/get", system, "requests/s", "uniform")


def _put(system: str) -> Cell:
    return Cell("http/put", system, "requests/s", "sync=always")


def _mixed(figure: str, case: str) -> Cell:
    return Cell("http/mixed", _GRANIAN, figure, case)


def _mget(case: str) -> Cell:
    return Cell("http/mget", "rundlet", "keys/s", case)


def _watched(figure: str) -> Cell:
    return Cell("costs/watchers", _GRANIAN, figure)


def _during(work: str, server: str) -> Target:
    disturbed, idle = (
        Cell("http/maintenance", f"rundlet, {server}", "p99 ms", case) for case in (work, "idle")
    )
    return Target(f"p99 of GET during {work} to idle, {server}", disturbed, idle, most=2.0)


TARGETS: Final = (
    Target(
        "GET, Granian, to Falcon over a dict on Granian",
        _get(_GRANIAN),
        _get("falcon + dict, granian"),
        least=1.0,
    ),
    Target("GET, Granian, to Redis behind Webdis", _get(_GRANIAN), _get("redis"), least=1.0),
    Target("GET, Granian, to FastAPI + SQLite", _get(_GRANIAN), _get("fastapi + sqlite"), least=6),
    Target("durable PUT, Granian, to etcd", _put(_GRANIAN), _put("etcd"), least=1.25),
    Target(
        "durable PUT, Granian, to Redis behind Webdis", _put(_GRANIAN), _put("redis"), least=0.5
    ),
    Target(
        "durable PUT, Granian, to FastAPI + SQLite",
        _put(_GRANIAN),
        _put("fastapi + sqlite"),
        least=6,
    ),
    Target(
        "GET beside 5 % durable PUT to GET alone, Granian",
        _mixed("GET/s", _BOTH),
        _mixed("GET/s", _ALONE),
        least=0.8,
    ),
    Target(
        "p99 of GET beside 5 % durable PUT to GET alone, Granian",
        _mixed("GET p99 ms", _BOTH),
        _mixed("GET p99 ms", _ALONE),
        most=1.5,
    ),
    Target(
        "GET, waitress, to Falcon over a dict on waitress",
        _get(_WAITRESS),
        _get("falcon + dict, waitress"),
        least=0.95,
    ),
    Target("mget of 100 keys, CBOR", _mget("CBOR"), None, least=_CBOR_KEYS_PER_S, unit="keys/s"),
    Target("mget of 100 keys, JSON to CBOR", _mget("JSON"), _mget("CBOR"), least=0.7),
    Target("idle watchers, Granian", _watched("watchers"), None, least=_WATCHERS, unit="watchers"),
    Target("GET with the watchers to GET without, Granian", _watched("ratio"), None, least=0.95),
    Target(
        "an event reaches all watchers, Granian",
        _watched("ms to all watchers"),
        None,
        most=_EVENT_MS,
        unit="ms",
    ),
    *(
        _during(work, server)
        for server in ("granian", "waitress")
        for work in ("checkpoint", "compaction")
    ),
    *(
        Target(
            f"p50 of GET beside {_SLOW_CLIENTS} clients that send slowly to GET alone, {server}",
            Cell("costs/slow_clients", f"rundlet, {server}", "p50 to p50"),
            None,
            most=3.0,
        )
        for server in ("granian", "waitress")
    ),
    Target(
        "processor time of rundlet get to importing typer, httpx and cbor2",
        Cell("cli/command", "rundlet get", "of imports"),
        None,
        most=1.3,
    ),
)
