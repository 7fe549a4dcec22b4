"""``rundlet demo``: load sample data to try things on, or remove it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from rundlet import DEFAULT_URL, Add, Condition, Delete, Op, Put
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.ask import DASHBOARD_PATH
from rundlet_server.cli.place.options import (
    DataOption,
    JsonOption,
    StoreOption,
    TokenOption,
    UrlOption,
    chosen_place,
    open_asking,
    open_target,
)
from rundlet_server.cli.place.target import Purpose, Target
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import write_line, write_lines
from rundlet_server.functions.ui.samples import Samples, SampleWrite, read_samples
from rundlet_server.server.own_command import own_command

commands = typer.Typer()

_DELETES_AT_ONCE: Final = 100
_BROKEN_KEY: Final = "demo/config/checkout"


@commands.command("demo")
def demo(
    *,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete all keys below demo/ instead.")
    ] = False,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load sample data.

    A small café below demo/: settings with a history and a release that went wrong, a menu, logins
    that expire, a picture, a counter. Nothing is loaded if there are keys below demo/.

    Example: rundlet demo
    """
    samples = read_samples()
    purpose = Purpose.CHANGE if remove else Purpose.WRITE
    with open_target(url, data, token, purpose, store=store) as target:
        if remove:
            _say_removed(_remove(target, samples), samples, as_json=as_json)
            return
        good, last = _load(target, samples)[-2:]
        count = sum(1 for _ in target.scan(prefix=samples["prefix"]))
    if as_json:
        write_line(to_line({"keys": count, "revision": last, "good_revision": good}))
        return
    write_line(f"loaded {count} keys below {samples['prefix']}; the last release went wrong")
    write_line("")
    write_lines(f"{name:<8}{text}" for name, text in _steps(good, url, data, store, token))


def _load(target: Target, samples: Samples) -> list[int]:
    """Commit the samples step by step; return the revision of each step."""
    if any(target.scan(prefix=samples["prefix"], limit=1)):
        message = (
            f"nothing was loaded: there are keys below {samples['prefix']};"
            " rundlet demo --remove takes sample data away"
        )
        raise CommandError(message, ExitCode.CONFLICT)
    return [
        target.txn(
            [_op(write) for write in step["txn"]["then"]],
            conditions=[
                Condition(condition["key"], exists=condition["exists"])
                for condition in step["txn"].get("if", ())
            ],
        ).revision
        for step in samples["steps"]
    ]


def _op(write: SampleWrite) -> Op:
    match write["op"]:
        case "delete":
            return Delete(write["key"])
        case "add":
            return Add(write["key"], write["by"])
        case "put":
            text, content_type = write["text"], write["content_type"]
            return Put(write["key"], text.encode(), content_type, write.get("ttl"))


def _remove(target: Target, samples: Samples) -> int:
    """Delete all keys of the samples, the marker last, so that a broken removal can be repeated."""
    marker = samples["marker"]
    keys = [info.key for info in target.scan(prefix=samples["prefix"])]
    if marker not in keys:
        message = f"there is no sample data: {marker} is missing"
        raise CommandError(message, ExitCode.NOT_FOUND)
    keys.sort(key=marker.__eq__)
    for start in range(0, len(keys), _DELETES_AT_ONCE):
        target.txn([Delete(key) for key in keys[start : start + _DELETES_AT_ONCE]])
    return len(keys)


def _say_removed(count: int, samples: Samples, *, as_json: bool) -> None:
    if as_json:
        write_line(to_line({"deleted": count}))
    else:
        write_line(f"deleted {count} keys below {samples['prefix']}")


def _steps(
    good_revision: int, url: str | None, data: Path | None, store: str | None, token: str | None
) -> Iterator[tuple[str, str]]:
    """Yield what to look at and to try next, with labels."""
    command, place = own_command(), _given_place(url, data, store)
    yield from _places_to_look(url, data, store, token)
    yield "Try", f"{command} history {_BROKEN_KEY}{place}"
    yield "", f"{command} diff {good_revision} --prefix demo/{place}"
    yield "", f"{command} rollback --prefix demo/config/ --to {good_revision}{place}"
    yield "Remove", f"{command} demo --remove{place}"


def _places_to_look(
    url: str | None, data: Path | None, store: str | None, token: str | None
) -> Iterator[tuple[str, str]]:
    named, address = chosen_place(url, data, store)
    if address is not None:
        yield (
            "Look",
            f"{own_command()} serve{_given_place(None, data, store)}, then {DEFAULT_URL}/ui/",
        )
        return
    server = (named or DEFAULT_URL).rstrip("/")
    with open_asking(server, token) as asking:
        has_dashboard = asking.get(DASHBOARD_PATH, with_token=False).status == 200
    if has_dashboard:
        yield "Look", f"{server}{DASHBOARD_PATH}#/keys?prefix=demo/&tree=1"
        yield "", f"{server}{DASHBOARD_PATH}#/keys?prefix=demo/&key={_BROKEN_KEY}&pane=history"


def _given_place(url: str | None, data: Path | None, store: str | None) -> str:
    """Return the options that name the place, as they were given."""
    options = {"--url": url, "--data": data, "--store": store}
    return "".join(
        f" {option} {shlex.quote(str(value))}"
        for option, value in options.items()
        if value is not None
    )
