"""The command that edits a value in a program of the user's choice, group *Data*: edit."""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from rundlet import TEXT_CONTENT_TYPE, Value
from rundlet_server.cli.exits import CommandError, ExitCode, is_conflict
from rundlet_server.cli.place.options import JsonOption
from rundlet_server.cli.place.taking import Location, takes_location
from rundlet_server.cli.place.target import Purpose
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import escaped, write_line
from rundlet_server.cli.show.times import seconds_left

commands = typer.Typer()

_DEFAULT_EDITOR: Final = "vi"
_ENDINGS: Final = {
    "application/json": ".json",
    "application/xml": ".xml",
    "application/yaml": ".yaml",
    "text/css": ".css",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/javascript": ".js",
    "text/markdown": ".md",
    "text/xml": ".xml",
}
"""Extensions of files, by which an editor chooses the colours."""
_DIFF_LINES_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class _Before:
    """A value as it was read; ``None`` if there was none."""

    value: Value | None

    @property
    def data(self) -> bytes:
        return b"" if self.value is None else self.value.data

    @property
    def content_type(self) -> str:
        return TEXT_CONTENT_TYPE if self.value is None else self.value.content_type

    @property
    def revision(self) -> int:
        """The revision; 0 if there was no value: as a condition, 0 requires that there is none."""
        return 0 if self.value is None else self.value.revision

    @property
    def ttl_s(self) -> float | None:
        left_s = None if self.value is None else seconds_left(self.value)
        return None if left_s is None else max(0.001, left_s)


@commands.command("edit")
@takes_location
def edit(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    *,
    editor: Annotated[
        str | None,
        typer.Option(
            "--editor", metavar="CMD", help="A program with arguments [VISUAL, EDITOR; default vi]."
        ),
    ] = None,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Edit a value.

    Opens it in $VISUAL or $EDITOR, and saves it unless it was changed meanwhile. Its type, expiry
    and metadata stay. If it was changed, shows the change, and keeps the edited text in a file. A
    key without a value begins empty. A newline that the editor adds at the end is left out.

    Example: rundlet edit config/app
    """
    with location.opened() as target:
        before = _Before(target.get(key))
    _require_text(key, before.data)
    with _file(before) as file:
        edited = _edited(shlex.split(editor) if editor else _chosen_editor(), file, before)
        if edited == before.data:
            file.unlink()
            write_line(to_line({"key": key, "changed": False}) if as_json else "unchanged")
            return
        with location.opened(Purpose.WRITE) as target:
            try:
                written = target.set(
                    key,
                    edited,
                    ttl=before.ttl_s,
                    content_type=before.content_type,
                    meta={} if before.value is None else before.value.meta,
                    if_revision=before.revision,
                )
            except Exception as ex:
                if not is_conflict(ex):
                    raise
                _show_conflict(before.data, _Before(target.get(key)).data)
                message = f"{key!r} has changed since it was opened, see above; nothing was saved"
                raise CommandError(message, ExitCode.CONFLICT) from ex
        file.unlink()
    if as_json:
        members = {"key": key, "changed": True, "revision": written.revision}
        write_line(to_line(members | {"version": written.version}))


@contextmanager
def _file(before: _Before) -> Iterator[Path]:
    """Yield a file with the value, which the caller removes: it may be the only copy of an edit.

    If the block fails, stderr names the file; if nothing was edited, the file is removed.
    """
    ending = _ENDINGS.get(before.content_type.partition(";")[0].strip().lower(), ".txt")
    descriptor, name = tempfile.mkstemp(prefix="rundlet-", suffix=ending)
    file = Path(name)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(before.data)
    try:
        yield file
    except BaseException:
        is_edited = file.exists() and file.read_bytes() != before.data
        if is_edited:
            sys.stderr.write(f"Your text is in {file}.\n")
        else:
            file.unlink(missing_ok=True)
        raise


def _require_text(key: str, data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as ex:
        message = (
            f"the value of {key!r} is no text; write it to a file with rundlet get -o FILE, and"
            " store it with rundlet set --file FILE"
        )
        raise CommandError(message, ExitCode.USAGE) from ex


def _chosen_editor() -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        words = shlex.split(os.environ.get(variable) or "")
        if words:
            return words
    return [_DEFAULT_EDITOR]


def _edited(editor: list[str], file: Path, before: _Before) -> bytes:
    """Let the user edit the file, and return its new content."""
    try:
        code = subprocess.run([*editor, str(file)], check=False).returncode
    except FileNotFoundError as ex:
        message = f"there is no program {editor[0]!r}; name one with --editor or EDITOR"
        raise CommandError(message, ExitCode.USAGE) from ex
    if code:
        message = f"{editor[0]} ended with {code}; nothing was saved"
        raise CommandError(message, ExitCode.UNREACHABLE)
    edited = file.read_bytes()
    has_new_end = edited.endswith(b"\n") and before.data and not before.data.endswith(b"\n")
    return edited[:-1] if has_new_end else edited


def _show_conflict(before: bytes, now: bytes) -> None:
    """Print on stderr what other clients have changed."""
    old, new = (data.decode("utf-8", "replace").splitlines() for data in (before, now))
    lines = list(difflib.unified_diff(old, new, "as you opened it", "as it is now", lineterm=""))
    shown = lines[:_DIFF_LINES_MAX]
    if len(lines) > len(shown):
        shown.append(f"… {len(lines) - len(shown)} more lines")
    sys.stderr.writelines(f"{escaped(line)}\n" for line in shown)
