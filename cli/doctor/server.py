"""Checks of a running server, on this machine or another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from rundlet.errors import ServerError
from rundlet.wire import Fields, decode_body
from rundlet_server.cli.doctor.findings import Finding, bad, good, warning
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.ask import NOT_ALLOWED, Asking, Metrics, NoAnswer, Reply
from rundlet_server.cli.place.options import open_asking
from rundlet_server.cli.show.sizes import shown_bytes
from rundlet_server.functions.version import software_version
from rundlet_server.server.listen.address import is_loopback

_ROUND_TRIPS: Final = 20
_READYZ_STATUSES: Final = frozenset({200, 503})
_SLOW_S: Final = 0.05
_CLOCK_APART_S: Final = 3.0
_DEAD_SHARE_MAX: Final = 0.6
_DEAD_BYTES_MIN: Final = 128 * 1024 * 1024
_FREE_BYTES_MIN: Final = 256 * 1024 * 1024


def check_server(url: str, token: str | None) -> Iterator[Finding]:
    """Check a server through its API."""
    with open_asking(url, token) as asking:
        try:
            yield _latency(asking)
        except NoAnswer as ex:
            yield bad("server", ex.seen, ex.advice)
            return
        try:
            yield from _checks(url, asking)
        except ServerError as ex:
            yield bad("service", str(ex), "check --url: another program seems to answer there")


def _checks(url: str, asking: Asking) -> Iterator[Finding]:
    """Check a server that answers.

    Raises:
        ServerError: the answers are not those of Rundlet.
    """
    reply = asking.get("/readyz")
    if reply.status not in _READYZ_STATUSES:
        yield _refused("/readyz", reply)
        return
    yield _readiness(reply)
    yield _exposure(url, asking)
    reply = asking.get("/v1")
    if reply.status != 200:
        yield _refused("/v1", reply)
        return
    clock = _clock(reply)
    yield _service(reply)
    yield clock
    try:
        metrics = asking.metrics()
    except CommandError as ex:
        yield warning("metrics", str(ex), "use a token without a prefix")
        return
    yield from _figures(metrics)


def _latency(asking: Asking) -> Finding:
    took_s = sorted(asking.get("/livez").took_s for _ in range(_ROUND_TRIPS))
    median_s = took_s[len(took_s) // 2]
    seen = f"answers in {median_s * 1e3:.1f} ms (median of {len(took_s)})"
    if median_s > _SLOW_S:
        return warning("server", seen, "the server is far away or very busy; run rundlet top")
    return good("server", seen)


def _readiness(reply: Reply) -> Finding:
    fields = _fields(reply)
    reasons = fields.texts("reasons")
    warnings = fields.texts("warnings") if "warnings" in fields else []
    if reply.status == 200 and warnings:
        return warning("ready", "; ".join(warnings), "see docs/operations.md")
    if reply.status == 200:
        return good("ready", "the server can do what it is set to do")
    return bad("ready", "; ".join(reasons) or f"/readyz answered {reply.status}", "see its log")


def _exposure(url: str, asking: Asking) -> Finding:
    parts = urlsplit(url)
    is_open = asking.get("/v1", with_token=False).status == 200
    is_local = is_loopback(parts.hostname or "")
    if is_open and not is_local:
        advice = "create a token on its machine: rundlet token add NAME"
        return warning("exposure", "every program that can reach it may do everything", advice)
    if parts.scheme == "http" and not is_local:
        advice = "tokens and values can be read on the way; use TLS"
        return warning("exposure", "it asks for tokens over plain HTTP", advice)
    return good("exposure", "open to this machine" if is_open else "asks for tokens")


def _refused(path: str, reply: Reply) -> Finding:
    if reply.status in NOT_ALLOWED:
        advice = "give a token that may read with --token or RUNDLET_TOKEN"
        seen = "the server asks for a token" if reply.status == 401 else "the token may not look"
        return bad("service", seen, advice, ExitCode.NOT_ALLOWED)
    seen = f"{path} answered {reply.status}"
    return bad("service", seen, "is this a Rundlet server? check --url")


def _service(reply: Reply) -> Finding:
    about = _fields(reply)
    version = about.text("version")
    seen = f"Rundlet {version}, backend {about.text('backend')}"
    if about.fact("read_only"):
        seen += ", read-only"
    elif "sync" in about:  # a database decides on that itself
        seen += f", sync {about.text('sync')}"
    if version != software_version():
        advice = f"this command is {software_version()}; only equal releases are tested together"
        return warning("service", seen, advice)
    return good("service", seen)


def _fields(reply: Reply) -> Fields:
    return decode_body(reply.body, reply.headers.get("Content-Type", ""))


def _clock(reply: Reply) -> Finding:
    """Compare the clocks; the server took its time at some moment since the request was sent."""
    date = reply.headers.get("Date")
    if date is None:
        return good("clock", "the server does not send its time")
    now_s, server_s = time.time(), parsedate_to_datetime(date).timestamp()
    apart_s = server_s - min(max(server_s, now_s - reply.took_s), now_s)
    if abs(apart_s) > _CLOCK_APART_S:
        seen = f"the server's clock is {apart_s:+.0f} s from this machine's"
        return warning("clock", seen, "the server's clock decides on expiry and history; set it")
    return good("clock", "the server's clock agrees with this machine's")


def _figures(metrics: Metrics) -> Iterator[Finding]:
    log_bytes = metrics.total("rundlet_store_log_bytes")
    dead_bytes = metrics.total("rundlet_store_dead_bytes")
    seen = f"about {dead_bytes / max(1, log_bytes):.0%} of the log, {shown_bytes(dead_bytes)}"
    if dead_bytes > _DEAD_BYTES_MIN and dead_bytes > log_bytes * _DEAD_SHARE_MAX:
        yield warning("dead bytes", seen, "rundlet compact reclaims what is not kept as history")
    else:
        yield good("dead bytes", seen)
    if metrics.by("rundlet_disk_free_bytes", ""):
        free_bytes = metrics.total("rundlet_disk_free_bytes")
        seen = f"{shown_bytes(free_bytes)} are free"
        if free_bytes < _FREE_BYTES_MIN:
            yield warning("free space", seen, "free some on the server's disk, or rundlet compact")
        else:
            yield good("free space", seen)
    yield from _failures(metrics)


def _failures(metrics: Metrics) -> Iterator[Finding]:
    """Report the failed requests since the server started."""
    failures = [
        (problem, count)
        for problem, count in metrics.by("rundlet_http_failures_total", "problem")
        if problem != "not-ready"
    ]
    seen = ", ".join(f"{problem} {count:.0f}" for problem, count in failures)
    if any(problem == "damaged" for problem, _ in failures):
        advice = "run rundlet verify on its machine; restore a copy, or run rundlet repair"
        yield bad("failures", f"since the start: {seen}", advice, ExitCode.DAMAGED)
    elif failures:
        yield warning("failures", f"since the start: {seen}", "its log has a line for each")
    else:
        yield good("failures", "none since the start")
