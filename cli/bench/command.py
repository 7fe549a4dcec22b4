"""The command ``bench``, group *Care*: how fast a store answers, on a server or in a folder.

Reading order: ``mix`` (the operations), ``keys`` (the keys they are done on), ``clients`` (the
threads that do them), ``histogram`` (the latencies), then ``report`` and ``svg`` (the output).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rundlet import Client
from rundlet_server.cli.bench.clients import Extent, Outcome, Workload, measure
from rundlet_server.cli.bench.keys import new_prefix, stored_keys
from rundlet_server.cli.bench.mix import MIXES, Distribution, KeySpace, Mix, MixName
from rundlet_server.cli.bench.report import Conditions, Report, Subject, shown
from rundlet_server.cli.bench.svg import svg
from rundlet_server.cli.exits import CommandError, ExitCode, exit_code_of, message_of
from rundlet_server.cli.place.options import (
    DataOption,
    JsonOption,
    StoreOption,
    TokenOption,
    UrlOption,
    chosen_place,
    open_target,
)
from rundlet_server.cli.place.target import Purpose, Target
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.progress import RowProgress
from rundlet_server.cli.show.sizes import bytes_of, shown_bytes
from rundlet_server.cli.show.terminal import escaped, write_line
from rundlet_server.cli.show.times import seconds_above_0
from rundlet_server.storage.address import StoreAddress

commands = typer.Typer()

_DURATION = "5s"
_CLIENTS_MAX = 256
_VALUE_SIZE_MAX = 64 * 1024 * 1024
_KEYS_MAX = 10_000_000


def _value_size(text: str) -> int:
    size = bytes_of("--value-size", text)
    if size > _VALUE_SIZE_MAX:
        message = f"{text!r} is more than {shown_bytes(_VALUE_SIZE_MAX)}, the largest value"
        raise typer.BadParameter(message, param_hint="--value-size")
    return size


def _writable_file(file: Path | None) -> Path | None:
    """Check before the benchmark that the file can be written at its end."""
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        message = f"{str(file)!r} cannot be written: check its folder"
        raise typer.BadParameter(message)
    return file


@commands.command("bench")
def bench(
    *,
    mix: Annotated[
        MixName | None,
        typer.Option(
            metavar="MIX",
            help="read, write, mixed (20 % writes, the default), or a, b, c, d or f as in YCSB.",
        ),
    ] = None,
    reads: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT", min=0, max=100, help="Reads, the rest writes; instead of --mix."
        ),
    ] = None,
    distribution: Annotated[
        Distribution | None,
        typer.Option(help="How often each key is chosen; default: as in the mix."),
    ] = None,
    keys: Annotated[int, typer.Option(metavar="N", min=1, max=_KEYS_MAX, help="Keys.")] = 10_000,
    value_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Size of a value: 100, 64KiB, 1MB.")
    ] = "100",
    clients: Annotated[
        int, typer.Option(metavar="N", min=1, max=_CLIENTS_MAX, help="Clients at once (threads).")
    ] = 4,
    duration: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"How long: 500ms, 30s, 2m; default {_DURATION}."),
    ] = None,
    operations: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of operations; instead of --duration."),
    ] = None,
    svg_file: Annotated[
        Path | None,
        typer.Option(
            "--svg", metavar="FILE", callback=_writable_file, help="Write a picture as well."
        ),
    ] = None,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure speed.

    Shows throughput and latency of a store, on a server or in a folder.
    Works on keys of its own, below rundlet-bench/, and removes them afterwards.
    A warm-up of a fifth of the duration goes before and is not counted.

    Example: rundlet bench --reads 95 --clients 8 --duration 10s --svg latency.svg
    """
    chosen = _chosen_mix(mix, reads)
    extent = _extent(duration, operations)
    size = _value_size(value_size)
    keyspace = KeySpace(new_prefix(), keys, distribution or chosen.distribution)
    how = Conditions(
        mix=chosen.name,
        shares={name.value: share for name, share in chosen.shares.items()},
        distribution=distribution or chosen.distribution,
        keys=keys,
        value_size=size,
        clients=clients,
    )
    opened = partial(open_target, url, data, token, Purpose.WRITE, store=store)
    _, address = chosen_place(url, data, store)
    with _open_targets(opened, clients) as targets:
        subject = _subject(targets[0], address)
        workload = Workload(chosen, keyspace, size)
        with stored_keys(targets[0], keyspace, size):
            report = Report(subject, how, _measured(targets, workload, extent))
            # Shown before the keys are removed: if that fails, the figures are not lost.
            _show(report, as_json=as_json, svg_file=svg_file)
    _raise_first_error(report)


def _chosen_mix(mix: MixName | None, reads: float | None) -> Mix:
    if reads is None:
        return MIXES[mix or MixName.MIXED]
    if mix is not None:
        message = "--mix and --reads exclude each other; give one of them"
        raise typer.BadParameter(message)
    return Mix(f"{reads:g} % reads", write=1 - reads / 100)


def _extent(duration: str | None, operations: int | None) -> Extent:
    if operations is None:
        return Extent(
            duration_s=seconds_above_0("--duration", _DURATION if duration is None else duration)
        )
    if duration is not None:
        message = "--duration and --operations exclude each other; give one of them"
        raise typer.BadParameter(message)
    return Extent(operations=operations)


@contextmanager
def _open_targets(
    opened: Callable[[], AbstractContextManager[Target]], count: int
) -> Iterator[Sequence[Target]]:
    """Yield a target for each client: own connections to a server, or one folder for all."""
    with ExitStack() as stack:
        first = stack.enter_context(opened())
        if not isinstance(first, Client):
            yield [first] * count
            return
        more = [opened() for _ in range(count - 1)]
        yield [first, *(stack.enter_context(each) for each in more)]


def _subject(target: Target, address: StoreAddress | None) -> Subject:
    """Return a description of the measured store.

    Raises:
        CommandError: the store is read-only.
    """
    info = target.info()
    is_server = isinstance(target, Client)
    if info.get("read_only"):
        message = (
            "this store is read-only: bench writes keys of its own even to measure reads, "
            "so that it never depends on yours; point it at a store that takes writes"
        )
        raise CommandError(message)
    return Subject(
        place=escaped(_place(target, address)),
        version=escaped(str(info.get("version") or _own_version())),
        backend=escaped(str(info.get("backend"))),
        sync=escaped(str(info.get("sync", "not reported" if is_server else "always"))),
        host=f"{socket.gethostname()} ({os.cpu_count()} cores)",
        is_server=is_server,
    )


def _place(target: Target, address: StoreAddress | None) -> str:
    if address is not None:
        return address.shown
    assert isinstance(target, Client)
    return target.url


def _own_version() -> str:
    from rundlet_server.functions.version import software_version  # noqa: PLC0415 -- falcon takes its time

    return software_version()


def _measured(targets: Sequence[Target], workload: Workload, extent: Extent) -> Outcome:
    with RowProgress("warming up", "operations") as progress:
        measure(targets, workload, extent.warm_up, seed="warm-up", progress=progress.advance)
    with RowProgress("measuring", "operations") as progress:
        if extent.operations is not None:
            progress.begin(extent.operations)
        return measure(targets, workload, extent, seed="measured", progress=progress.advance)


def _show(report: Report, *, as_json: bool, svg_file: Path | None) -> None:
    write_line(to_line(report.to_members()) if as_json else shown(report, Console()))
    if svg_file is not None:
        svg_file.write_text(svg(report), encoding="utf-8")


def _raise_first_error(report: Report) -> None:
    first = report.outcome.first_error
    if first is None:
        return
    failed = f"{report.error_count:,} of {report.count:,} operations failed"
    message = f"{failed}, one of them with: {message_of(first)}"
    raise CommandError(message, exit_code_of(first) or ExitCode.UNREACHABLE)
