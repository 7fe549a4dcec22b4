"""Everything about the server itself: what it is, how it is, and how much it holds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import falcon

from functions.bodies import JSON_TYPE, encode
from functions.counting import CountedKind, CountedStore, OperationKind, RefusalKind
from functions.problems import RETRY_LATER, Problem
from functions.query import Query
from storage.interface import Stats

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPERATION_KINDS: tuple[OperationKind, ...] = get_args(OperationKind)
REFUSAL_KINDS: tuple[RefusalKind, ...] = get_args(RefusalKind)

_NOT_METRIC_NAME = re.compile(r"[^a-z0-9_]+")


class FixedResource:
    """An answer that never changes while the server runs."""

    def __init__(self, answer: Mapping[str, object]) -> None:
        self._body = encode(answer, JSON_TYPE)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The answer."""
        Query(req)
        resp.content_type = JSON_TYPE
        resp.data = self._body

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class ServiceResource:
    """``/v1``: what this server is."""

    def __init__(self, store: CountedStore, version: str) -> None:
        self._store = store
        self._version = version

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The service document."""
        Query(req)
        info = self._store.store.info
        answer = {
            "name": "rundlet",
            "version": self._version,
            "backend": info.backend,
            "store_id": info.store_id,
            "revision": self._store.head_revision(),
            "read_only": self._store.read_only,
            "limits": dataclasses.asdict(info.limits),
        }
        resp.content_type = JSON_TYPE
        resp.data = encode(answer, JSON_TYPE)

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class StatsResource:
    """``/v1/stats``: counts as JSON."""

    def __init__(self, store: CountedStore) -> None:
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Count."""
        Query(req)
        stats = self._store.store.stats()
        answer = {
            "revision": stats.revision,
            "oldest_revision": stats.oldest_revision,
            "keys": stats.key_count,
            "value_bytes": stats.value_bytes,
            "operations": _counts(self._store, OPERATION_KINDS),
            "store": stats.internals,
        }
        resp.content_type = JSON_TYPE
        resp.set_header("Cache-Control", "no-store")
        resp.data = encode(answer, JSON_TYPE)

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class MetricsResource:
    """``/metrics``: the same counts in Prometheus' text format."""

    def __init__(self, store: CountedStore, version: str) -> None:
        self._store = store
        info = store.store.info
        self._build = f'rundlet_build_info{{version="{version}",backend="{info.backend}"}} 1'

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Count."""
        Query(req)
        stats = self._store.store.stats()
        lines = [
            *_metric("build_info", "gauge", "The software that runs.", [self._build]),
            *_metric(
                "operations_total",
                "counter",
                "Operations carried out since the start, by kind.",
                [
                    f'rundlet_operations_total{{operation="{kind}"}} {count}'
                    for kind, count in _counts(self._store, OPERATION_KINDS).items()
                ],
            ),
            *_metric(
                "refused_total",
                "counter",
                "Requests that no token, or not theirs, allowed, by reason.",
                [
                    f'rundlet_refused_total{{reason="{kind.removeprefix("refused_")}"}} {count}'
                    for kind, count in _counts(self._store, REFUSAL_KINDS).items()
                ],
            ),
            *_gauges(stats),
        ]
        resp.content_type = METRICS_TYPE
        resp.text = "\n".join(lines) + "\n"

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class LiveResource:
    """``/livez``: the process answers."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say so."""
        Query(req)
        _say(resp, "live")

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class ReadyResource:
    """``/readyz``: the store reads and writes, as far as it is meant to."""

    def __init__(self, store: CountedStore) -> None:
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say so, or what is wrong."""
        Query(req)
        problem = self._store.store.problem()
        if problem is not None:
            raise Problem(503, "not-ready", f"not ready: {problem}", headers=RETRY_LATER)
        _say(resp, "ready")

    on_head = on_get  # Falcon keeps the headers and leaves the body out


class CompactResource:
    """``/v1/admin/compact``."""

    def __init__(self, store: CountedStore) -> None:
        self._store = store

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Ask for a compaction; it goes on in the background."""
        self._store.require_writable()
        Query(req)
        self._store.store.compact()
        resp.status = 202
        _say(resp, "compaction asked for; follow it in /v1/stats")


def _say(resp: falcon.Response, status: str) -> None:
    resp.content_type = JSON_TYPE
    resp.set_header("Cache-Control", "no-store")
    resp.data = encode({"status": status}, JSON_TYPE)


def _counts(store: CountedStore, kinds: Sequence[CountedKind]) -> dict[str, int]:
    totals = store.counters.totals()
    return {kind: totals.get(kind, 0) for kind in kinds}


def _gauges(stats: Stats) -> Iterator[str]:
    gauges: list[tuple[str, str, int | float]] = [
        ("keys", "Keys that have a value.", stats.key_count),
        ("value_bytes", "Sum of the sizes of all values.", stats.value_bytes),
        ("revision", "Revision of the last commit.", stats.revision),
        ("oldest_revision", "Oldest revision that can be read.", stats.oldest_revision),
    ]
    for internal, value in sorted(stats.internals.items()):
        name = _NOT_METRIC_NAME.sub("_", internal.lower())
        gauges.append((f"store_{name}", "Internal gauge of the store.", value))
    for name, text, value in gauges:
        yield from _metric(name, "gauge", text, [f"rundlet_{name} {value}"])


def _metric(name: str, kind: str, text: str, samples: list[str]) -> list[str]:
    return [f"# HELP rundlet_{name} {text}", f"# TYPE rundlet_{name} {kind}", *samples]
