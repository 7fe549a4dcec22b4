"""The commands on the past, group *Time*: history, diff, rollback, retention, erase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rundlet import Condition, Difference, Restore, RolledBack, State, Version
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.options import JsonOption
from rundlet_server.cli.place.taking import Location, takes_location
from rundlet_server.cli.place.target import Purpose
from rundlet_server.cli.show.formats import FormatOption, Shape, format_of, write_rows
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import shown_key, write_line
from rundlet_server.cli.show.times import exact_time, place_of, seconds_of, shown_time

if TYPE_CHECKING:
    from rundlet_server.cli.place.target import Target

commands = typer.Typer()

_ERASE_PATIENCE_S: Final = 60.0
_SEARCHED_VERSIONS: Final = 1_000
_STATE: Final = ("revision", "version", "time", "size", "content_type", "expires")
_HISTORY_TITLES: Final = (">revision", ">version", "op", "time", ">size", "type", "expires", "meta")
_DIFF_TITLES: Final = ("change", "before", "after", "key")


@commands.command("history")
@takes_location
def history(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    *,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most N.")] = None,
    output_format: FormatOption = None,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """List versions of a key.

    Newest first, also of a key that was deleted.

    Example: rundlet history config/app
    """
    wanted = format_of(output_format, as_json=as_json)
    with location.opened() as target:
        versions = target.history(key, limit=limit)
        first = next(versions, None)
        if first is None:
            message = f"no history is kept of {key!r}"
            raise CommandError(message, ExitCode.NOT_FOUND)
        write_rows(chain([first], versions), _history_shape(key), wanted)


@commands.command("diff")
@takes_location
def diff(
    start: Annotated[
        str, typer.Argument(metavar="START", help="A revision, or a time: 10m for 10 minutes ago.")
    ],
    end: Annotated[
        str | None, typer.Argument(metavar="END", help="Another one; by default now.")
    ] = None,
    *,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="How the keys begin.")] = "",
    output_format: FormatOption = None,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Compare two revisions.

    Lists the keys that were added, changed or removed between two revisions or times.

    Example: rundlet diff 10m --prefix config/
    """
    wanted = format_of(output_format, as_json=as_json)
    before = place_of("START", start)
    after = None if end is None else place_of("END", end)
    with location.opened() as target:
        write_rows(target.diff(before, after, prefix=prefix), _DIFF, wanted)


@commands.command("rollback")
@takes_location
def rollback(
    key: Annotated[str | None, typer.Argument(metavar="KEY")] = None,
    version: Annotated[
        int | None,
        typer.Argument(metavar="VERSION", min=1, help="By default the one before this."),
    ] = None,
    *,
    prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="All keys with this prefix; '' for all.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="A revision, or a time: 10m for 10 minutes ago."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Restore earlier values.

    Restores an earlier version of one key, or the values that many keys had at a revision or a
    time, in one transaction. A deleted key can be restored while its versions are kept.

    Example: rundlet rollback --prefix config/ --to 10m --dry-run
    """
    if (key is None) == (prefix is None) or (prefix is not None and to is None):
        message = "give KEY, with a VERSION or --to WHEN, or --prefix TEXT with --to WHEN"
        raise CommandError(message, ExitCode.USAGE)
    if version is not None and to is not None:
        message = "VERSION and --to exclude each other; give one of them"
        raise CommandError(message, ExitCode.USAGE)
    purpose = Purpose.READ if dry_run else Purpose.CHANGE
    with location.opened(purpose) as target:
        if to is None:
            assert key is not None
            _restore(target, key, version, dry_run=dry_run, as_json=as_json)
            return
        keys = None if key is None else [key]
        done = target.rollback(place_of("--to", to), prefix=prefix, keys=keys, dry_run=dry_run)
    _show_rollback(done, dry_run=dry_run, as_json=as_json)


@commands.command("retention")
@takes_location
def retention(
    *,
    keep_versions: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Keep so many newest versions of each key."),
    ] = None,
    keep_for: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=partial(seconds_of, "--keep-for"),
            help="Keep all that was visible in this time: 1h, 30d.",
        ),
    ] = None,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Show or set retention.

    It belongs to the store. More history takes more space; less is reclaimed by compaction.

    Example: rundlet retention --keep-for 7d
    """
    is_changed = keep_versions is not None or keep_for is not None
    purpose = Purpose.CHANGE if is_changed else Purpose.READ
    with location.opened(purpose) as target:
        kept = target.retention(keep_versions=keep_versions, keep_for_s=keep_for)
    if as_json:
        write_line(to_line({"keep_versions": kept.keep_versions, "keep_for_s": kept.keep_for_s}))
    else:
        write_line(f"versions of each key: {kept.keep_versions}")
        write_line(f"everything of the last: {_shown_seconds(kept.keep_for_s)}")


@commands.command("erase")
@takes_location
def erase(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    *,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Erase a key for good.

    Removes every version of it, so that it cannot be restored, and waits until its bytes are gone
    from the files of the store. Earlier backups keep it.

    Example: rundlet erase users/42
    """
    with location.opened(Purpose.CHANGE) as target:
        erased = target.erase(key, wait_s=_ERASE_PATIENCE_S)
    if erased is None:
        message = f"no history is kept of {key!r}"
        raise CommandError(message, ExitCode.NOT_FOUND)
    if as_json:
        members = {"key": key, "revision": erased.revision, "erased": erased.versions}
        write_line(to_line({**members, "pending": erased.is_pending}))
        return
    what = "1 version" if erased.versions == 1 else f"{erased.versions} versions"
    rest = "; a compaction will remove its bytes" if erased.is_pending else ""
    write_line(f"erased {what} of {shown_key(key)}{rest}")


def _restore(
    target: Target, key: str, version: int | None, *, dry_run: bool, as_json: bool
) -> None:
    """Write an earlier version of one key again, unless the key changes meanwhile."""
    versions = list(target.history(key, limit=_SEARCHED_VERSIONS))
    current = versions[0] if versions else None
    has_value = current is not None and _has_value(current)
    earlier = versions[1:] if has_value else versions
    wanted = _newest_value(earlier) if version is None else _numbered(versions, version)
    if current is None or wanted is None:
        which = "no earlier version" if version is None else f"no version {version}"
        message = f"{which} of {key!r} is kept; rundlet history {key} lists those that are"
        raise CommandError(message, ExitCode.NOT_FOUND)
    revision = current.revision
    if not dry_run:
        condition = Condition(key, revision=current.revision if has_value else 0)
        named = {"revision": wanted.revision} if version is None else {"version": version}
        commit = target.txn([Restore(key, **named)], conditions=[condition])
        revision = commit.revision
    if as_json:
        members = {"key": key, "revision": revision, "restored_revision": wanted.revision}
        write_line(to_line({**members, "restored_version": wanted.version, "dry_run": dry_run}))
        return
    verb = "would restore" if dry_run else "restored"
    of = f"version {wanted.version} of {shown_key(key)}"
    write_line(f"{verb} {of}, {_shown_size(wanted.size)} of {shown_time(wanted.time)}")


def _has_value(version: Version) -> bool:
    """Return whether a key has a value; the history may not have its expiry yet."""
    is_due = version.expires is not None and version.expires <= datetime.now(UTC)
    return version.version > 0 and not is_due


def _newest_value(versions: Iterable[Version]) -> Version | None:
    return next((each for each in versions if each.version), None)


def _numbered(versions: Iterable[Version], version: int) -> Version | None:
    """Return the n-th version since the key was last created, if it is kept."""
    for each in versions:
        if each.version == version:
            return each
        if each.version == 1:
            return None
    return None


def _show_rollback(done: RolledBack, *, dry_run: bool, as_json: bool) -> None:
    counts = {"restored": done.restored, "deleted": done.deleted, "unchanged": done.unchanged}
    if as_json:
        members: dict[str, object] = {"revision": done.revision, **counts}
        if dry_run:
            members["changes"] = [_difference_members(change) for change in done.changes]
        write_line(to_line(members))
        return
    if dry_run:
        write_rows(done.changes, _DIFF, None)
    shown = ", ".join(f"{count} {name}" for name, count in counts.items())
    write_line(f"would be: {shown}" if dry_run else f"{shown} at revision {done.revision}")


def _history_shape(key: str) -> Shape[Version]:
    """Return the shape in which to print versions of a key."""

    def members(version: Version) -> Mapping[str, object]:
        return {"key": key, **_version_members(version)}

    columns = ("key", "op", *_STATE, "meta")
    return Shape(members, columns, _HISTORY_TITLES, _version_line, _version_cells)


def _difference_members(difference: Difference) -> dict[str, object]:
    members: dict[str, object] = {"key": difference.key, "change": difference.change}
    for name, state in (("from", difference.before), ("to", difference.after)):
        if state is not None:
            members[name] = _state_members(state)
    return members


def _state_members(state: State | Version) -> dict[str, object]:
    members: dict[str, object] = {
        "revision": state.revision,
        "version": state.version,
        "time": exact_time(state.time),
        "size": state.size,
        "content_type": state.content_type,
    }
    if state.expires is not None:
        members["expires"] = exact_time(state.expires)
    if state.meta:
        members["meta"] = dict(state.meta)
    return members


def _version_members(version: Version) -> dict[str, object]:
    return {"op": version.op, **_state_members(version)}


def _version_cells(version: Version) -> tuple[str, ...]:
    has_value = version.version > 0
    return (
        str(version.revision),
        str(version.version) if has_value else "",
        version.op,
        exact_time(version.time),
        str(version.size) if has_value else "",
        shown_key(version.content_type) if has_value else "",
        "" if version.expires is None else shown_time(version.expires),
        *([to_line(dict(version.meta))] if version.meta else []),
    )


def _version_line(version: Version) -> tuple[str, ...]:
    """Return a line for people, without microseconds and parameters of the type, to save room."""
    revision, number, op, _, size, content_type, *others = _version_cells(version)
    time = shown_time(version.time)
    return (revision, number, op, time, size, content_type.partition(";")[0], *others)


def _cells_of(difference: Difference) -> tuple[str, ...]:
    return (
        difference.change,
        _shown_state(difference.before),
        _shown_state(difference.after),
        shown_key(difference.key),
    )


def _shown_state(state: State | None) -> str:
    return "" if state is None else f"{_shown_size(state.size)} @{state.revision}"


def _shown_size(size: int) -> str:
    return "1 byte" if size == 1 else f"{size} bytes"


def _shown_seconds(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


_DIFF: Final = Shape(
    _difference_members,
    ("key", "change", *(f"{side}.{name}" for side in ("from", "to") for name in _STATE)),
    _DIFF_TITLES,
    _cells_of,
)
