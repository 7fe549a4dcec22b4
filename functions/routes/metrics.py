"""``/metrics``: what an operator watches, in Prometheus' text format.

Every count covers all workers and the maintenance process of the server, whichever worker answers.
``docs/operations.md`` says which metrics should raise an alert.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import falcon

from rundlet_server.functions.feeds.places import (
    FEED_EVENTS,
    FEEDS_CLOSED,
    FEEDS_OPENED,
    FEEDS_REFUSED,
)
from rundlet_server.functions.messages.query import Query
from rundlet_server.functions.monitoring.audit import AUDIT_FAILURES
from rundlet_server.functions.monitoring.counting import REPLAYS, CountedStore
from rundlet_server.functions.monitoring.measures import (
    DURATIONS_NS,
    failure_totals,
    request_counts,
    request_totals,
)
from rundlet_server.functions.monitoring.processes import usage_by_role
from rundlet_server.functions.monitoring.prometheus import CONTENT_TYPE, family, histogram, single
from rundlet_server.functions.monitoring.readiness import Readiness
from rundlet_server.storage.counting import measures
from rundlet_server.storage.counting.counters import OPERATION_KINDS, REFUSAL_KINDS, SUM_WORD
from rundlet_server.storage.counting.heartbeat import hung_processes
from rundlet_server.storage.counting.rows import WORDS
from rundlet_server.storage.interface import Stats

_NS: Final = 1e-9
_US: Final = 1e-6

_WORK: Final = (
    (measures.SYNC_NS, "sync_seconds", "Time to put commits on stable storage.", _NS),
    (measures.GROUP_COMMITS, "commit_group_size", "Commits written and synced together.", 1),
    (measures.CHECKPOINT_NS, "checkpoint_seconds", "Time to write or merge index files.", _NS),
    (measures.COMPACTION_NS, "compaction_seconds", "Time of compactions.", _NS),
)
_COUNTS: Final = (
    (measures.APPENDED_BYTES, "appended_bytes_total", "Bytes added to the log."),
    (
        measures.COMPACTION_READ_BYTES,
        "compaction_read_bytes_total",
        "Size of the segments that compactions replaced.",
    ),
    (
        measures.COMPACTION_WRITTEN_BYTES,
        "compaction_written_bytes_total",
        "Size of the segments that compactions wrote.",
    ),
    (measures.DISK_ERRORS, "disk_errors_total", "Writes and syncs that the disk failed."),
    (
        measures.MAINTENANCE_FAILURES,
        "maintenance_failures_total",
        "Failed jobs of the maintenance process, and its restarts.",
    ),
    (AUDIT_FAILURES, "audit_failures_total", "Audit lines that went to stderr, not to the file."),
)
_FEEDS: Final = (
    (FEED_EVENTS, "feed_events_total", "Events sent in pages and streams of the feed."),
    (FEEDS_REFUSED, "feeds_refused_total", "Requests that found feeds_max others waiting."),
)


class MetricsResource:
    """The metrics."""

    def __init__(self, store: CountedStore, readiness: Readiness, version: str) -> None:
        self._store = store
        self._readiness = readiness
        self._version = version

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with all metrics."""
        Query(req)
        lines = [*self._server_lines(), *self._counted_lines(), *self._store_lines()]
        resp.content_type = CONTENT_TYPE
        resp.set_header("Cache-Control", "no-store")
        resp.text = "\n".join(lines) + "\n"

    on_head = on_get  # Falcon keeps the headers and leaves the body out

    def _server_lines(self) -> Iterator[str]:
        labels = {"version": self._version, "backend": self._store.info.backend}
        yield from family("rundlet_build_info", "gauge", "The software that runs.", [(labels, 1)])
        shared = self._store.counters.shared
        started_s = shared.started_us() * _US
        text = "When the server started, in seconds since 1970."
        yield from single("rundlet_start_time_seconds", "gauge", text, started_s)
        health = self._readiness.health()
        text = "1 if /readyz answers 200."
        yield from single("rundlet_ready", "gauge", text, int(not health.reasons))
        if health.disk_free_bytes is not None:
            text = "Free space of the disk with the data, for this user."
            yield from single("rundlet_disk_free_bytes", "gauge", text, health.disk_free_bytes)
        if health.clock_ahead_s is not None:
            text = "How far the store's time is ahead of the machine's clock: no key expires then."
            yield from single("rundlet_clock_ahead_seconds", "gauge", text, health.clock_ahead_s)
        yield from self._process_lines()

    def _process_lines(self) -> Iterator[str]:
        usages = usage_by_role(self._store.counters.shared.processes())
        hung = [process.role for process in hung_processes(self._store.counters.shared)]
        for name, text, numbers in (
            ("processes", "Living processes.", [usage.number for usage in usages]),
            (
                "processes_hung",
                "Living processes that have made no progress for some seconds.",
                [hung.count(usage.role) for usage in usages],
            ),
            (
                "process_resident_memory_bytes",
                "Memory of all processes; a shared page counts for each of them.",
                [usage.resident_bytes for usage in usages],
            ),
            (
                "process_private_memory_bytes",
                "Memory of all processes that they share with no other.",
                [usage.private_bytes for usage in usages],
            ),
            (
                "process_open_fds",
                "Open files and sockets of all processes.",
                [usage.descriptors for usage in usages],
            ),
        ):
            labels = [{"role": usage.role} for usage in usages]
            samples = zip(labels, numbers, strict=True)
            yield from family(f"rundlet_{name}", "gauge", text, samples)

    def _counted_lines(self) -> Iterator[str]:
        rows = self._store.counters.shared.rows()
        yield from _operation_lines(rows)
        yield from _feed_lines(rows, self._store.counters.shared.living_rows())
        yield from _request_lines(rows)
        yield from _work_lines(rows)

    def _store_lines(self) -> Iterator[str]:
        yield from _stats_lines(self._store.stats())
        for name, gauge in sorted(self._store.gauges().items()):
            yield from single(f"rundlet_store_{name}", "gauge", gauge.text, gauge.value)


def _operation_lines(rows: Mapping[str, list[int]]) -> Iterator[str]:
    yield from family(
        "rundlet_operations_total",
        "counter",
        "Operations carried out since the start, by kind.",
        [({"operation": kind}, _first(rows, kind)) for kind in OPERATION_KINDS],
    )
    yield from family(
        "rundlet_refused_total",
        "counter",
        "Requests rejected because a token is missing, unknown, expired or not sufficient.",
        [({"reason": kind.removeprefix("refused_")}, _first(rows, kind)) for kind in REFUSAL_KINDS],
    )
    text = "Writes answered as the first time: their Idempotency-Key was known."
    yield from single("rundlet_replays_total", "counter", text, _first(rows, REPLAYS))


def _feed_lines(rows: Mapping[str, list[int]], living: Mapping[str, list[int]]) -> Iterator[str]:
    number = _first(living, FEEDS_OPENED) - _first(living, FEEDS_CLOSED)
    text = "Feeds, and other requests that wait for a change."
    yield from single("rundlet_feeds_open", "gauge", text, number)
    for name, metric, text in _FEEDS:
        yield from single(f"rundlet_{metric}", "counter", text, _first(rows, name))


def _request_lines(rows: dict[str, list[int]]) -> Iterator[str]:
    yield from family(
        "rundlet_http_requests_total",
        "counter",
        "Requests answered, by route, method and class of the status.",
        [
            ({"route": count.route, "method": count.method, "status": count.status}, count.number)
            for count in request_counts(rows)
        ],
    )
    totals = [
        ({"route": total.route, "method": total.method}, total) for total in request_totals(rows)
    ]
    yield from histogram(
        "rundlet_http_request_duration_seconds",
        "Time that Rundlet's own code takes to answer a request.",
        DURATIONS_NS.bounds,
        [(labels, total.words) for labels, total in totals],
        unit=_NS,
    )
    yield from family(
        "rundlet_http_request_bytes_total",
        "counter",
        "Bytes of request bodies.",
        [(labels, total.bytes_in) for labels, total in totals],
    )
    yield from family(
        "rundlet_http_response_bytes_total",
        "counter",
        "Bytes of answer bodies.",
        [(labels, total.bytes_out) for labels, total in totals],
    )
    yield from family(
        "rundlet_http_failures_total",
        "counter",
        "Answers with a status of 500 or above, by problem.",
        [({"problem": name}, count) for name, count in failure_totals(rows).items()],
    )


def _work_lines(rows: Mapping[str, list[int]]) -> Iterator[str]:
    for name, metric, text, unit in _WORK:
        bounds = measures.HISTOGRAMS[name].bounds
        words = rows.get(name) or [0] * WORDS
        yield from histogram(f"rundlet_{metric}", text, bounds, [({}, words)], unit=unit)
    groups = rows.get(measures.GROUP_COMMITS) or [0] * WORDS
    yield from single("rundlet_commits_total", "counter", "Commits written.", groups[SUM_WORD])
    for name, metric, text in _COUNTS:
        yield from single(f"rundlet_{metric}", "counter", text, _first(rows, name))
    text = "When the disk last failed a write or sync, in seconds since 1970; 0 if never."
    last_s = _first(rows, measures.LAST_DISK_ERROR_US) * _US
    yield from single("rundlet_last_disk_error_timestamp_seconds", "gauge", text, last_s)


def _stats_lines(stats: Stats) -> Iterator[str]:
    for name, text, number in (
        ("keys", "Keys that have a value.", stats.key_count),
        ("value_bytes", "Sum of the sizes of all values.", stats.value_bytes),
        ("revision", "Revision of the last commit.", stats.revision),
        ("oldest_revision", "Oldest revision that can be read.", stats.oldest_revision),
    ):
        yield from single(f"rundlet_{name}", "gauge", text, number)


def _first(rows: Mapping[str, list[int]], name: str) -> int:
    return rows[name][0] if name in rows else 0
