"""The bytes of the tokens in a folder.

Two files are in the folder, beside any store:

``TOKENS`` holds all tokens and is replaced whole (see ``files.replace_file``)::

    "RNDLTTOK" | format u32 | size of the CBOR list u32 | CBOR list | CRC32C

``TOKENS.changes`` is one page that every process maps. Its first word counts the changes, so that a
request finds out by one look at memory whether the tokens that its process knows are up to date.
Changes also take the lock of this file. A process that dies after it has replaced ``TOKENS`` and
before it has counted leaves a change that is noticed up to a second later, when every process reads
the file anyway (``storage.tokens.watch``).
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cbor2

from rundlet_server.storage.checksum import CHECKSUM_SIZE, is_whole, seal
from rundlet_server.storage.errors import DamagedTokens, UnknownFormat
from rundlet_server.storage.files import File, Files, make_page, map_file, read_whole
from rundlet_server.storage.tokens.interface import DIGEST_SIZE, Token

FILE_NAME: Final = "TOKENS"
PAGE_NAME: Final = "TOKENS.changes"
MAGIC: Final = b"RNDLTTOK"
FORMAT_VERSION: Final = 1

_HEADER: Final = struct.Struct("<8sII")
_PAGE_SIZE: Final = 4_096
_ADVICE: Final = "restore the file from a copy, or remove it and create new tokens"


class ChangePage:
    """The page that counts changes.

    Attributes:
        words: native unsigned 64-bit words, shared with every process; the first one counts.
    """

    def __init__(self, files: Files, folder: Path) -> None:
        """Map the page, and make it if it is missing."""
        self._file: File = files.open(folder / PAGE_NAME, create=True)
        with self.locked():
            make_page(self._file, _PAGE_SIZE)
        page = map_file(files, folder / PAGE_NAME, _PAGE_SIZE, writable=True)
        self.words = memoryview(page).cast("Q")

    def count(self) -> None:
        """Announce a change of the tokens to every process; call it while the page is locked."""
        self.words[0] = (self.words[0] + 1) & 0xFFFF_FFFF

    def close(self) -> None:
        """Close the file of the lock; the words stay."""
        self._file.close()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, so that no other process changes the tokens."""
        self._file.lock()
        try:
            yield
        finally:
            self._file.unlock()


def file_bytes(files: Files, folder: Path) -> bytes | None:
    """Return the content of the file of a folder; ``None`` if there is none."""
    try:
        return read_whole(files, folder / FILE_NAME)
    except FileNotFoundError:
        return None


def encode(tokens: list[Token]) -> bytes:
    """Return the content of the file."""
    payload = cbor2.dumps([list(token) for token in tokens])
    return seal(_HEADER.pack(MAGIC, FORMAT_VERSION, len(payload)) + payload)


def decode(path: Path, data: bytes | None) -> list[Token]:
    """Return the tokens in the file ``path``; none if there is no file.

    Raises:
        DamagedTokens, UnknownFormat: it is not what was written, or another release wrote it.
    """
    if data is None:
        return []
    if len(data) < _HEADER.size + CHECKSUM_SIZE or not is_whole(data):
        raise DamagedTokens(path, 0, f"the checksum does not match; {_ADVICE}")
    magic, version, size = _HEADER.unpack_from(data)
    if magic != MAGIC or version != FORMAT_VERSION:
        raise UnknownFormat(f"{path}: this release does not know token format {magic!r} {version}")
    try:
        return [_token(item) for item in cbor2.loads(data[_HEADER.size : _HEADER.size + size])]
    except (cbor2.CBORDecodeError, TypeError, ValueError) as ex:
        reason = f"the tokens cannot be decoded: {ex}; {_ADVICE}"
        raise DamagedTokens(path, _HEADER.size, reason) from ex


def _token(item: object) -> Token:
    match item:
        case [
            str(token_id),
            str(name),
            ("read" | "write" | "admin") as scope,
            str(prefix),
            int(created_us),
            int() | None as expires_us,
            bytes(digest),
        ] if len(digest) == DIGEST_SIZE:
            return Token(token_id, name, scope, prefix, created_us, expires_us, digest)
    raise ValueError("a token has an unknown shape")
