"""Tokens: who may use a server, for what, and on which keys.

A token is a secret that is shown once, when it is made. The folder keeps its SHA-256: the
secret is 256 random bits, which nobody finds by trying, so a slow password hash would only
slow down requests. Two files stand in the folder, beside whatever store is there:

``TOKENS`` holds all tokens and is replaced whole (see ``files.replace_file``)::

    "RNDLTTOK" | format u32 | size of the CBOR list u32 | CBOR list | CRC32C

``TOKENS.changes`` is one page that every process maps. Its first word counts the changes, so
that a request finds out by one look at memory whether the tokens it knows are still right; it is
also what changes are locked on. Who dies between replacing ``TOKENS`` and counting leaves a
change that is noticed up to a second later, when every process reads the file anyway
(``storage.tokens.watch``).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import cbor2

from rundlet_server.storage.checksum import CHECKSUM_SIZE, is_whole, seal
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.errors import DamagedTokens, InvalidRequest, UnknownFormat
from rundlet_server.storage.files import File, Files, RealFiles, read_whole, replace_file

Scope = Literal["read", "write", "admin"]

FILE_NAME: Final = "TOKENS"
PAGE_NAME: Final = "TOKENS.changes"
MAGIC: Final = b"RNDLTTOK"
FORMAT_VERSION: Final = 1
NAME_CHARACTERS_MAX: Final = 64

_HEADER: Final = struct.Struct("<8sII")
_PAGE_SIZE: Final = 4_096
_BEGINNING: Final = "rundlet_"
_NOBODY: Final = bytes(32)
_ADVICE: Final = "put a copy back, or remove it and make the tokens anew"


class Token(NamedTuple):
    """What is kept of a token.

    Attributes:
        token_id: 8 hex digits, part of the secret; names the token in logs.
        name: given by whoever made it.
        scope: ``read``; ``write`` reads, too; ``admin`` does everything.
        prefix: the keys it may be used on begin with this; empty for all keys.
        created_us, expires_us: microseconds since the epoch; no ``expires_us``: never.
        digest: SHA-256 of the secret.
    """

    token_id: str
    name: str
    scope: Scope
    prefix: str
    created_us: int
    expires_us: int | None
    digest: bytes


class TokenTable:
    """The tokens at one moment, to be asked with a secret.

    Attributes:
        tokens: in the order they were made.
    """

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self._by_id = {token.token_id: token for token in tokens}

    def find(self, secret: str) -> Token | None:
        """The token a secret belongs to, expired or not.

        The time it takes tells at most whether the secret's id exists, which is no secret; the
        digests are compared in constant time.
        """
        token = self._by_id.get(secret.removeprefix(_BEGINNING)[:8])
        digest = _digest(secret)
        is_right = hmac.compare_digest(digest, token.digest if token else _NOBODY)
        return token if is_right else None


class TokenFile:
    """The tokens of a folder, to be listed and changed."""

    def __init__(
        self,
        folder: Path,
        *,
        files: Files | None = None,
        clock: Callable[[], int] = system_clock_us,
    ) -> None:
        """``clock`` tells microseconds since the epoch."""
        self._folder = folder
        self._files = files or RealFiles()
        self._clock = clock

    def read(self) -> list[Token]:
        """All tokens, expired ones too, in the order they were made.

        Raises:
            DamagedTokens, UnknownFormat: the file is not what was written, or of another release.
            OSError: it cannot be read.
        """
        return decode(self._folder / FILE_NAME, file_bytes(self._files, self._folder))

    def add(
        self, name: str, scope: Scope, *, prefix: str = "", expires_us: int | None = None
    ) -> tuple[Token, str]:
        """Make a token; it is in force when this returns.

        Returns:
            The token and its secret, which is kept nowhere.

        Raises:
            InvalidRequest: the name is taken, empty, too long or not printable; the prefix has
                no UTF-8 form; the token would have expired already.
            DamagedTokens, UnknownFormat, OSError: as ``read``; nothing was changed.
        """
        self._check(name, prefix, expires_us)
        token_id = secrets.token_hex(4)
        secret = f"{_BEGINNING}{token_id}_{secrets.token_urlsafe(32)}"
        token = Token(token_id, name, scope, prefix, self._clock(), expires_us, _digest(secret))
        with self._changing() as tokens:
            if any(other.name == name for other in tokens):
                raise InvalidRequest(f"there is a token named {name!r} already")
            tokens.append(token)
        return token, secret

    def remove(self, name: str) -> Token | None:
        """Take back a token by name or id, at once; ``None`` where there is none.

        Raises:
            DamagedTokens, UnknownFormat, OSError: as ``read``; nothing was changed.
        """
        with self._changing() as tokens:
            for token in tokens:
                if name in (token.name, token.token_id):
                    tokens.remove(token)
                    return token
        return None

    def _check(self, name: str, prefix: str, expires_us: int | None) -> None:
        if not name.isprintable() or not 0 < len(name) <= NAME_CHARACTERS_MAX:
            raise InvalidRequest(f"a name has 1 to {NAME_CHARACTERS_MAX} printable characters")
        try:
            prefix.encode()
        except UnicodeEncodeError as ex:
            raise InvalidRequest("the prefix has no UTF-8 form") from ex
        if expires_us is not None and expires_us <= self._clock():
            raise InvalidRequest("the token would have expired already")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """The tokens, to be changed in place; put in force when left without an error.

        1. lock, so that of two changes none is lost;
        2. replace the file: from here on new processes, and within a second all, go by it;
        3. count the change: from here on every process goes by it at once.
        """
        self._files.make_folder(self._folder)
        with contextlib.closing(ChangePage(self._files, self._folder)) as page, page.locked():
            tokens = self.read()
            before = list(tokens)
            yield tokens
            if tokens != before:
                replace_file(self._files, self._folder / FILE_NAME, _encode(tokens))
                page.count()


class ChangePage:
    """The page that counts changes.

    Attributes:
        words: native unsigned 64-bit words, shared with every process; the first one counts.
    """

    def __init__(self, files: Files, folder: Path) -> None:
        """Map the page, which is made where it is missing."""
        self._file: File = files.open(folder / PAGE_NAME, create=True)
        with self.locked():
            if self._file.size() != _PAGE_SIZE:
                # Written, not just lengthened: a store into a hole of a full disk is a SIGBUS.
                self._file.pwrite([bytes(_PAGE_SIZE)], 0)
                self._file.sync()
        self.words = memoryview(self._file.map(_PAGE_SIZE, writable=True)).cast("Q")

    def count(self) -> None:
        """Tell every process that the tokens have changed; to be called while locked."""
        self.words[0] = (self.words[0] + 1) & 0xFFFF_FFFF

    def close(self) -> None:
        """Let the file go; the words stay."""
        self._file.close()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other changes away."""
        self._file.lock()
        try:
            yield
        finally:
            self._file.unlock()


def file_bytes(files: Files, folder: Path) -> bytes | None:
    """What stands in the file of a folder; ``None`` where there is none."""
    try:
        return read_whole(files, folder / FILE_NAME)
    except FileNotFoundError:
        return None


def _encode(tokens: list[Token]) -> bytes:
    payload = cbor2.dumps([list(token) for token in tokens])
    return seal(_HEADER.pack(MAGIC, FORMAT_VERSION, len(payload)) + payload)


def decode(path: Path, data: bytes | None) -> list[Token]:
    """The tokens in the file ``path``; none where there is no file.

    Raises:
        DamagedTokens, UnknownFormat: it is not what was written, or of another release.
    """
    if data is None:
        return []
    if len(data) < _HEADER.size + CHECKSUM_SIZE or not is_whole(data):
        raise DamagedTokens(path, 0, f"the checksum does not fit; {_ADVICE}")
    magic, version, size = _HEADER.unpack_from(data)
    if magic != MAGIC or version != FORMAT_VERSION:
        raise UnknownFormat(f"{path}: token format {magic!r} {version} is not known")
    try:
        return [_token(item) for item in cbor2.loads(data[_HEADER.size : _HEADER.size + size])]
    except (cbor2.CBORDecodeError, TypeError, ValueError) as ex:
        reason = f"the tokens cannot be read: {ex}; {_ADVICE}"
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
        ] if len(digest) == len(_NOBODY):
            return Token(token_id, name, scope, prefix, created_us, expires_us, digest)
    raise ValueError("a token of an unknown shape")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
