"""Methods that move values between the store and local files, piece by piece."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import IO
from uuid import uuid4

from rundlet.answers import info_of, is_absent
from rundlet.calls import values
from rundlet.calls.bodies import FileBody
from rundlet.calls.values import Demand
from rundlet.methods.base import AsyncMethods, Methods
from rundlet.model import KeyInfo, Written

Path = str | os.PathLike[str]
Source = Path | IO[bytes]


class FileMethods(Methods):
    """Store files, and write values to files, without a whole value in memory."""

    def set_file(
        self,
        key: str,
        file: Source,
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        meta: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> Written:
        """Store the content of a file; arguments and errors as in ``set``.

        Args:
            key: any text that is not empty.
            file: a path, or an open file on a disk; all its bytes are stored, regardless of the
                position. It must not change meanwhile.
            ttl: as in ``set``.
            content_type: by default the type for the extension of the file's name.
            meta: as in ``set``.
            if_absent: as in ``set``.
            if_match: as in ``set``.

        Raises:
            OSError: the file cannot be read, or is not on a disk; use ``set`` for data in memory.
        """
        demand = Demand(if_absent, if_match=if_match)
        with _opened(file) as opened:
            body = FileBody(opened.fileno())
            kind = content_type or values.content_type_of(str(opened.name))
            return self._run(
                values.set_value(key, body, ttl=ttl, content_type=kind, meta=meta, demand=demand)
            )

    def get_file(
        self,
        key: str,
        path: Path,
        *,
        revision: int | None = None,
        at: datetime | str | None = None,
        version: int | None = None,
    ) -> KeyInfo | None:
        """Write the value of a key to a file; return its details, or ``None`` if there is none.

        The file is created or replaced only when the whole value has arrived; if the key has no
        value, the file does not change.

        Args:
            key: the key.
            path: of the file.
            revision: as in ``get``.
            at: as in ``get``.
            version: as in ``get``.

        Raises:
            OSError: the file cannot be written.
            ConnectionFailed: the answer broke off.
        """
        request = values.get_request(key, revision=revision, at=at, version=version)
        with self._transport.stream(request) as response:
            if is_absent(response):
                return None
            with _replacing(path) as file:
                for piece in response.iter_bytes():
                    file.write(piece)
            return info_of(key, response)


class AsyncFileMethods(AsyncMethods):
    """Does as ``FileMethods`` does."""

    async def set_file(
        self,
        key: str,
        file: Source,
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        meta: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> Written:
        """Store the content of a file; arguments and errors as in ``set``."""
        demand = Demand(if_absent, if_match=if_match)
        with _opened(file) as opened:
            body = FileBody(opened.fileno())
            kind = content_type or values.content_type_of(str(opened.name))
            return await self._run(
                values.set_value(key, body, ttl=ttl, content_type=kind, meta=meta, demand=demand)
            )

    async def get_file(
        self,
        key: str,
        path: Path,
        *,
        revision: int | None = None,
        at: datetime | str | None = None,
        version: int | None = None,
    ) -> KeyInfo | None:
        """Write the value of a key to a file; return its details, or ``None`` if there is none."""
        import asyncio  # noqa: PLC0415 - `Client` needs none, and its import takes long

        request = values.get_request(key, revision=revision, at=at, version=version)
        async with self._transport.stream(request) as response:
            if is_absent(response):
                return None
            with _replacing(path) as file:
                async for piece in response.aiter_bytes():
                    await asyncio.to_thread(file.write, piece)
            return info_of(key, response)


def _opened(file: Source) -> AbstractContextManager[IO[bytes]]:
    return open(file, "rb") if isinstance(file, str | os.PathLike) else nullcontext(file)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file; at the end it replaces ``path``, on an error it is removed.

    A pipe or a device cannot be replaced, and is written to.
    """
    whole = os.path.realpath(path)  # replace the target of a symbolic link, not the link
    is_there = os.path.exists(whole)
    if is_there and not os.path.isfile(whole):
        with open(whole, "wb") as output:
            yield output
        return
    part = os.path.join(os.path.dirname(whole), f".{uuid4().hex}.part")
    with open(part, "xb") as file:
        try:
            if is_there:
                os.chmod(part, stat.S_IMODE(os.stat(whole).st_mode))
            yield file
            file.flush()
            os.replace(part, whole)
        except BaseException:
            os.unlink(part)
            raise
