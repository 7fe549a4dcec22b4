"""``rundlet top``: the load of a server, from the differences between samples of its metrics."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import typer

from rundlet import DEFAULT_URL
from rundlet_server.cli.place.ask import Asking, Metrics
from rundlet_server.cli.place.options import (
    JsonOption,
    TokenOption,
    UrlOption,
    chosen_url,
    open_asking,
)
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.sizes import shown_bytes
from rundlet_server.cli.show.terminal import stdout_is_terminal, write_line
from rundlet_server.cli.show.times import seconds_of

commands = typer.Typer()

_EVERY_S_MIN, _EVERY_S_MAX = 0.1, 3_600.0
_LEVELS = " ▁▂▃▄▅▆▇█"
_PAST_LOOKS = 200
_CURVE_MARGIN = 27  # the name before a curve, and the highest amount behind it
_CURVE_MIN = 10
_OWN_ROUTE = "/metrics"  # by which it looks
_DURATIONS = "rundlet_http_request_duration_seconds"
_SYNCS = "rundlet_sync_seconds"


class Figures(NamedTuple):
    """The load between two samples: rates per second, times in milliseconds, sizes in bytes."""

    requests: float
    failures: float
    p50_ms: float | None
    p99_ms: float | None
    gets: float
    sets: float
    deletes: float
    commits: float
    sync_p99_ms: float | None
    bytes_in: float
    bytes_out: float
    keys: float
    value_bytes: float
    log_bytes: float
    dead_bytes: float
    unindexed_segments: float
    private_memory_bytes: float
    open_fds: float
    disk_free_bytes: float
    ready: bool


@commands.command("top")
def top(
    url: UrlOption = None,
    token: TokenOption = None,
    every: Annotated[
        str, typer.Option(metavar="TIME", help="The time between two samples: 500ms, 5s, 1m.")
    ] = "2s",
    count: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, show_default="until Ctrl-C", help="The number of samples."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Watch the load.

    Shows requests, latency, keys and bytes, with curves of the last samples; in a pipe one line
    for each sample. Its own requests are not counted.

    Example: rundlet top --every 5s
    """
    every_s = seconds_of("--every", every)
    if not _EVERY_S_MIN <= every_s <= _EVERY_S_MAX:
        message = f"samples are 100ms to 1h apart, not {every}"
        raise typer.BadParameter(message, param_hint="--every")
    url = chosen_url(url) or DEFAULT_URL
    with open_asking(url, token) as asking:
        try:
            _show(url, _looks(asking, every_s, count), as_json=as_json)
        except KeyboardInterrupt:
            return  # the usual way to end it


def _looks(asking: Asking, every_s: float, count: int | None) -> Iterator[Figures]:
    before, before_s = _seen(asking), time.monotonic()
    while count is None or count > 0:
        time.sleep(every_s)
        after, after_s = _seen(asking), time.monotonic()
        yield figures(before, after, after_s - before_s)
        before, before_s = after, after_s
        count = None if count is None else count - 1


def _seen(asking: Asking) -> Metrics:
    """Return the metrics without the requests for ``/metrics`` itself."""
    return asking.metrics().without("route", _OWN_ROUTE)


def _show(url: str, looks: Iterator[Figures], *, as_json: bool) -> None:
    if as_json:
        for look in looks:
            write_line(to_line(look._asdict()))
    elif stdout_is_terminal():
        # Rich takes its time to load, and only a terminal needs it.
        from rich.console import Console  # noqa: PLC0415 - see above
        from rich.live import Live  # noqa: PLC0415 - see above
        from rich.text import Text  # noqa: PLC0415 - see above

        console = Console(highlight=False)
        past = Past()
        with Live(f"watching {url}", console=console) as live:
            for look in looks:
                past.add(look)
                shown = [url, *panel(look), *past.lines(console.width)]
                live.update(Text("\n".join(shown), no_wrap=True, overflow="ellipsis"), refresh=True)
    else:
        for look in looks:
            write_line(line(look))


class Past:
    """The figures of the last samples, for the curves on a terminal."""

    def __init__(self) -> None:
        self._looks: deque[Figures] = deque(maxlen=_PAST_LOOKS)

    def add(self, look: Figures) -> None:
        """Add the newest sample."""
        self._looks.append(look)

    def lines(self, width: int) -> Iterator[str]:
        """Yield a curve for some figures, with the newest sample on the right."""
        room = max(_CURVE_MIN, width - _CURVE_MARGIN)
        for name, unit, amounts in (
            ("requests", "/s", [look.requests for look in self._looks]),
            ("p99", " ms", [look.p99_ms or 0.0 for look in self._looks]),
            ("failed", "/s", [look.failures for look in self._looks]),
        ):
            shown = amounts[-room:]
            highest = max(shown)
            yield f"{name:<10}{curve(shown):>{room}}  to {highest:,.{_digits(highest)}f}{unit}"


def curve(amounts: Sequence[float]) -> str:
    """Return a bar of one character for each amount, relative to the highest one."""
    highest = max(amounts, default=0.0)
    top = len(_LEVELS) - 1
    return "".join(
        _LEVELS[0] if amount <= 0 else _LEVELS[max(1, round(top * amount / highest))]
        for amount in amounts
    )


def _digits(highest: float) -> int:
    return 0 if highest >= 10 or not highest else 1


def figures(before: Metrics, after: Metrics, elapsed_s: float) -> Figures:
    """Return the load between two samples; after a restart, since the start of the server."""
    if after.total("rundlet_start_time_seconds") != before.total("rundlet_start_time_seconds"):
        before = Metrics("")

    def rate(name: str, **labels: str) -> float:
        return max(0.0, after.total(name, **labels) - before.total(name, **labels)) / elapsed_s

    def percentile_ms(name: str, share: float) -> float | None:
        found_s = quantile(_buckets(name, before, after), share)
        return None if found_s is None else found_s * 1e3

    def operations(kind: str) -> float:
        return rate("rundlet_operations_total", operation=kind)

    return Figures(
        requests=rate(f"{_DURATIONS}_count"),
        failures=rate("rundlet_http_failures_total"),
        p50_ms=percentile_ms(_DURATIONS, 0.5),
        p99_ms=percentile_ms(_DURATIONS, 0.99),
        gets=operations("get"),
        sets=operations("set"),
        deletes=operations("delete"),
        commits=rate("rundlet_commits_total"),
        sync_p99_ms=percentile_ms(_SYNCS, 0.99),
        bytes_in=rate("rundlet_http_request_bytes_total"),
        bytes_out=rate("rundlet_http_response_bytes_total"),
        keys=after.total("rundlet_keys"),
        value_bytes=after.total("rundlet_value_bytes"),
        log_bytes=after.total("rundlet_store_log_bytes"),
        dead_bytes=after.total("rundlet_store_dead_bytes"),
        unindexed_segments=after.total("rundlet_store_unindexed_segments"),
        private_memory_bytes=after.total("rundlet_process_private_memory_bytes"),
        open_fds=after.total("rundlet_process_open_fds"),
        disk_free_bytes=after.total("rundlet_disk_free_bytes"),
        ready=after.total("rundlet_ready") == 1,
    )


def quantile(buckets: list[tuple[float, float]], share: float) -> float | None:
    """Return the quantile of amounts, interpolated within its bucket.

    Args:
        buckets: rising upper bounds up to infinity, each with the count of amounts up to it.
        share: between 0 and 1.

    Returns:
        ``None`` if there are no amounts; the last finite bound if the amount lies beyond it.
    """
    if not buckets or not buckets[-1][1]:
        return None
    wanted = buckets[-1][1] * share
    low_bound, low_count = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted and bound == float("inf"):
            return low_bound
        if count >= wanted:
            return low_bound + (bound - low_bound) * (wanted - low_count) / (count - low_count)
        low_bound, low_count = bound, count
    return low_bound


def panel(look: Figures) -> Iterator[str]:
    """Return several lines for a terminal."""
    state = "" if look.ready else "   NOT READY: rundlet doctor tells why"
    yield f"requests  {look.requests:,.0f}/s   failed {look.failures:,.1f}/s{state}"
    yield f"latency   p50 {_ms(look.p50_ms)}   p99 {_ms(look.p99_ms)}"
    operations = f"{look.gets:,.0f} get/s   {look.sets:,.0f} set/s   {look.deletes:,.0f} delete/s"
    yield f"keys      {operations}"
    yield f"commits   {look.commits:,.0f}/s   sync p99 {_ms(look.sync_p99_ms)}"
    yield f"bytes     {shown_bytes(look.bytes_in)}/s in   {shown_bytes(look.bytes_out)}/s out"
    yield f"store     {look.keys:,.0f} keys   {shown_bytes(look.value_bytes)} of values"
    log = f"{shown_bytes(look.log_bytes)}, {look.dead_bytes / max(1, look.log_bytes):.0%} dead"
    yield f"log       {log}   {look.unindexed_segments:.0f} segments unindexed"
    memory = f"{shown_bytes(look.private_memory_bytes)} memory   {look.open_fds:.0f} files"
    yield f"machine   {memory}   {shown_bytes(look.disk_free_bytes)} of disk free"


def line(look: Figures) -> str:
    """Return one line, for a pipe."""
    return (
        f"{look.requests:.0f} requests/s  {look.failures:.1f} failed/s"
        f"  p50 {_ms(look.p50_ms)}  p99 {_ms(look.p99_ms)}  {look.commits:.0f} commits/s"
        f"  {look.keys:.0f} keys  {shown_bytes(look.log_bytes)} log"
    )


def _buckets(name: str, before: Metrics, after: Metrics) -> list[tuple[float, float]]:
    """Return the counts between two samples, summed over all series."""
    counts: dict[float, float] = {}
    for metrics, sign in ((after, 1), (before, -1)):
        for bound, number in metrics.by(f"{name}_bucket", "le"):
            counts[float(bound)] = counts.get(float(bound), 0) + sign * number
    return sorted(counts.items())


def _ms(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.2f} ms"
