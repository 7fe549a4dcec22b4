"""A filesystem for fsspec: pandas, pyarrow, dask, xarray and zarr open ``rundlet://`` addresses.

    import pandas

    frame = pandas.read_parquet("rundlet://127.0.0.1:8000/data/flights.parquet")

A file is a key; a slash in a key ends the name of a folder. A folder exists as long as it has keys,
so there are no empty folders, and ``mkdir`` does nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, ClassVar, TypeAlias

from fsspec.asyn import AsyncFileSystem, sync
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.spec import AbstractBufferedFile
from fsspec.utils import isfilelike

from rundlet.adapters.places import PROTOCOLS, refuse_token, split_address, token_or_variable
from rundlet.async_client import AsyncClient
from rundlet.calls.values import content_type_of
from rundlet.errors import PreconditionFailed
from rundlet.model import DEFAULT_URL, KeyInfo, Value

Info = dict[str, Any]
"""The details of a file, with the names that fsspec uses."""

Paths: TypeAlias = Any
"""A path in fsspec: text, an object with a path, or a list of either."""

Options: TypeAlias = Any
"""Options that fsspec passes on."""


class RundletFileSystem(AsyncFileSystem):
    """The keys of a server as files.

    ``pipe_file``, ``put_file`` and ``open`` for writing take a ``ttl`` in seconds, ``meta``, and a
    ``content_type``, which by default follows from the name.
    """

    protocol: ClassVar = tuple(PROTOCOLS)
    root_marker = ""

    def __init__(
        self, url: str = DEFAULT_URL, token: str | None = None, **options: Options
    ) -> None:
        """Make a filesystem; nothing is sent yet.

        Args:
            url: address of the server; fsspec takes it from the address of a file.
            token: by default the value of the variable RUNDLET_TOKEN.
            options: options of fsspec.
        """
        super().__init__(url=url, token=token, **options)
        self._token = token
        self.client = AsyncClient(url, token=token_or_variable(token))

    @classmethod
    def _strip_protocol(cls, path: Paths) -> Paths:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = str(path)
        if text.partition("://")[0] in PROTOCOLS:
            text = split_address(text)[1]
        return text.strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        return {"url": split_address(path)[0]} if "://" in path else {}

    def unstrip_protocol(self, name: str) -> str:
        """Return the whole address of a file."""
        scheme, _, host = self.client.url.partition("://")
        protocol = next(one for one, spoken in PROTOCOLS.items() if spoken == scheme)
        return f"{protocol}://{host}/{self._strip_protocol(name)}"

    async def _info(self, path: str, **_: object) -> Info:
        key = self._strip_protocol(path)
        if not key:
            return _folder(key)
        info = await self.client.head(key)
        if info is not None:
            return _file(info)
        async for _first in self.client.scan(prefix=f"{key}/", limit=1):
            return _folder(key)
        raise FileNotFoundError(path)

    async def _ls(self, path: str, detail: bool = True, **_: object) -> list[Info] | list[str]:
        key = self._strip_protocol(path)
        prefix = f"{key}/" if key else ""
        found = [
            _folder(info.key.rstrip("/")) if info.is_prefix else _file(info)
            async for info in self.client.scan(prefix=prefix, delimiter="/")
            if info.key != prefix
        ]
        if not found and key:
            found = [await self._info(key)]
            if found[0]["type"] == "directory":
                return []
        return found if detail else sorted({one["name"] for one in found})

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **options: Options
    ) -> dict[str, Info] | list[str]:
        """List all keys below a folder in one pass, not folder by folder."""
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        key = self._strip_protocol(path)
        prefix = f"{key}/" if key else ""
        depth_max = sys.maxsize if maxdepth is None else prefix.count("/") + maxdepth - 1
        found: dict[str, Info] = {}
        async for info in self.client.scan(prefix=prefix):
            if info.key.count("/") <= depth_max:
                found[info.key] = _file(info)
            if withdirs:
                folders = _parents(info.key, max(0, len(prefix) - 1))
                found |= {one: _folder(one) for one in folders if one.count("/") <= depth_max}
        if not found and key and (info_of_key := await self.client.head(key)):
            found[key] = _file(info_of_key)
        names = sorted(found)
        return {name: found[name] for name in names} if options.get("detail") else names

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: object
    ) -> bytes:
        key = self._strip_protocol(path)
        if end is not None and (end < 0 or (start or 0) < 0):
            start, end = await self._whole_range(key, start or 0, end)
        return (await self._read(key, start=start, end=end)).data

    async def _pipe_file(
        self, path: str, value: bytes, mode: str = "overwrite", **options: Options
    ) -> None:
        key = self._strip_protocol(path)
        await self.store(key, value, if_absent=mode == "create", **options)

    async def _put_file(
        self,
        lpath: str,
        rpath: str,
        mode: str = "overwrite",
        callback: Callback = DEFAULT_CALLBACK,
        **options: Options,
    ) -> None:
        if Path(lpath).is_dir():
            return
        key = self._strip_protocol(rpath)
        options["content_type"] = options.get("content_type") or content_type_of(key)
        with _exclusive(key, is_exclusive=mode == "create"):
            await self.client.set_file(key, lpath, if_absent=mode == "create", **options)
        _tell(callback, Path(lpath).stat().st_size)

    async def _get_file(
        self, rpath: str, lpath: Paths, callback: Callback = DEFAULT_CALLBACK, **_: object
    ) -> None:
        if isfilelike(lpath):
            lpath.write(await self._cat_file(rpath))
            return
        if await self._isdir(rpath):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        Path(lpath).parent.mkdir(parents=True, exist_ok=True)
        info = await self.client.get_file(self._strip_protocol(rpath), lpath)
        if info is None:
            raise FileNotFoundError(rpath)
        _tell(callback, info.size)

    async def _cp_file(self, path1: str, path2: str, **_: object) -> None:
        if await self._isdir(path1):
            return
        value = await self._read(self._strip_protocol(path1))
        key = self._strip_protocol(path2)
        about: Options = {"content_type": value.content_type, "meta": value.meta}
        await self.client.set(key, value.data, ttl=_ttl_left(value.expires), **about)

    async def _rm_file(self, path: str, **_: object) -> None:
        if not await self.client.delete(self._strip_protocol(path)):
            raise FileNotFoundError(path)

    async def _rm(
        self, path: Paths, recursive: bool = False, maxdepth: int | None = None, **_: object
    ) -> None:
        paths = await self._expand_path(path, recursive=recursive, maxdepth=maxdepth)
        if not await self.client.delete_many(one for one in paths if one):
            raise FileNotFoundError(path)

    def modified(self, path: str) -> datetime:
        """Return when the value was written (UTC)."""
        written: datetime = self.info(path)["mtime"]
        return written

    def _open(self, path: str, mode: str = "rb", **options: Options) -> RundletFile:
        return RundletFile(self, path, mode, **options)

    def close(self) -> None:
        """Close all connections; the filesystem cannot be used after that."""
        sync(self.loop, self.client.close)

    async def store(
        self,
        key: str,
        data: bytes,
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        meta: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> None:
        """Store a value; arguments as in ``Client.set``.

        Raises:
            FileExistsError: the key has a value, with ``if_absent``.
        """
        kind = content_type or content_type_of(key)
        with _exclusive(key, is_exclusive=if_absent):
            await self.client.set(
                key, bytes(data), ttl=ttl, content_type=kind, meta=meta, if_absent=if_absent
            )

    async def read_as_of(self, key: str, revision: int, start: int, end: int) -> bytes:
        """Return a part of the value that a commit wrote, even if the key has a newer one."""
        value = await self.client.get(key, start=start, end=end)
        if value is None or value.revision != revision:
            value = await self._read(key, revision=revision, start=start, end=end)
        return value.data

    async def _read(
        self,
        key: str,
        *,
        revision: int | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> Value:
        value = None
        if key:
            value = await self.client.get(key, revision=revision, start=start, end=end)
        if value is None:
            raise FileNotFoundError(key)
        return value

    async def _whole_range(self, key: str, start: int, end: int) -> tuple[int, int]:
        """Return a range without negative bounds, which count from the end as in slices."""
        size = (await self._info(key))["size"]
        first, last, _ = slice(start, end).indices(size)
        return first, last

    def __reduce__(self) -> tuple[object, ...]:
        refuse_token(self._token)
        reduced: tuple[object, ...] = super().__reduce__()
        return reduced


class RundletFile(AbstractBufferedFile):
    """One value as a file: read by ranges, or written as a whole when it is closed.

    A file that is open for reading has the value that the key had when it was opened. Written bytes
    are kept in memory, or in a temporary file if they exceed a block. Appending also writes the
    whole value, and fails if the key was written since it was opened. It keeps the time of expiry,
    content type and metadata that are not given.
    """

    DEFAULT_BLOCK_SIZE: ClassVar = 512 * 1024
    """Read-ahead in bytes; with fsspec's 5 MiB, reading one column would read half a table."""

    fs: RundletFileSystem

    def __init__(
        self,
        fs: RundletFileSystem,
        path: str,
        mode: str,
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        meta: Mapping[str, str] | None = None,
        **options: Options,
    ) -> None:
        """See ``RundletFileSystem``."""
        self._ttl = ttl
        self._expires: datetime | None = None
        self._about: Options = {"content_type": content_type, "meta": meta}
        self._is_new = mode == "xb"
        self._etag: str | None = None
        if mode == "xb" and fs.exists(path):
            raise FileExistsError(path)
        super().__init__(fs, path, mode, **options)
        if mode != "rb":
            self._written = SpooledTemporaryFile(self.blocksize)  # noqa: SIM115 - see commit
        if mode == "ab":
            value = sync(fs.loop, fs.client.get, path)
            self._is_new = value is None
            if value is not None:
                self._etag = value.etag
                self._keep(value)
                self.loc = self._written.write(value.data)
        self._about["content_type"] = self._about["content_type"] or content_type_of(path)

    def _keep(self, value: Value) -> None:
        """Keep what is not given for the value to append to."""
        self._expires = value.expires
        self._about["content_type"] = self._about["content_type"] or value.content_type
        if self._about["meta"] is None:
            self._about["meta"] = value.meta

    def _fetch_range(self, start: int, end: int) -> bytes:
        read: bytes = sync(
            self.fs.loop, self.fs.read_as_of, self.path, self.details["revision"], start, end
        )
        return read

    def _upload_chunk(self, final: bool = False) -> bool:
        """Append a block; the last one ends the file."""
        self._written.write(self.buffer.getvalue())
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        """Store the value.

        Raises:
            FileExistsError: the key has a value, if this is a new file.
            PreconditionFailed: the key was written since it was opened, to append to it.
        """
        with self._written as written:
            sync(self.fs.loop, self._store, written)

    def discard(self) -> None:
        """Store nothing."""
        self._written.close()

    async def _store(self, written: IO[bytes]) -> None:
        client = self.fs.client
        ttl = _ttl_left(self._expires) if self._ttl is None else self._ttl
        demand: Options = {"if_absent": self._is_new, "if_match": self._etag}
        about: Options = {**self._about, **demand, "ttl": ttl}
        is_small = written.tell() <= self.blocksize
        written.seek(0)
        with _exclusive(self.path, is_exclusive=self.mode == "xb"):
            if is_small:
                await client.set(self.path, written.read(), **about)
            else:
                await client.set_file(self.path, written, **about)


@contextmanager
def _exclusive(key: str, *, is_exclusive: bool) -> Iterator[None]:
    """Raise Python's own error if a new file exists already."""
    try:
        yield
    except PreconditionFailed as ex:
        if not is_exclusive:
            raise
        raise FileExistsError(key) from ex


def _ttl_left(expires: datetime | None) -> float | None:
    """Return the seconds until a value expires; at least the shortest that a server accepts."""
    return None if expires is None else max(0.001, (expires - datetime.now(UTC)).total_seconds())


def _tell(callback: Callback, size: int) -> None:
    callback.set_size(size)
    callback.relative_update(size)


def _file(info: KeyInfo) -> Info:
    return {
        "name": info.key,
        "size": info.size,
        "type": "file",
        "mtime": info.time,
        "revision": info.revision,
        "version": info.version,
        "content_type": info.content_type,
        "expires": info.expires,
    }


def _folder(key: str) -> Info:
    return {"name": key, "size": 0, "type": "directory"}


def _parents(key: str, begin: int) -> Iterator[str]:
    """Yield the folders that a key is in, after the first ``begin`` characters."""
    at = key.find("/", begin)
    while at >= 0:
        yield key[:at]
        at = key.find("/", at + 1)
