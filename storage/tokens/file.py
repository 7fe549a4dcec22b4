"""The tokens of a folder, to be listed and changed; ``format`` defines the bytes of its files."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.errors import InvalidRequest
from rundlet_server.storage.files import Files, RealFiles, replace_file
from rundlet_server.storage.tokens.format import FILE_NAME, ChangePage, decode, encode, file_bytes
from rundlet_server.storage.tokens.interface import BEGINNING, Scope, Token, digest_of
from rundlet_server.storage.tokens.watch import TokenWatch

NAME_CHARACTERS_MAX: Final = 64


class TokenFile:
    """The ``TokenStore`` of a folder."""

    def __init__(
        self,
        folder: Path,
        *,
        files: Files | None = None,
        clock: Callable[[], int] = system_clock_us,
    ) -> None:
        """Use the tokens of a folder; ``clock`` returns microseconds since the epoch."""
        self._folder = folder
        self._files = files or RealFiles()
        self._clock = clock

    def read(self) -> list[Token]:
        """See ``TokenStore.read``."""
        return decode(self._folder / FILE_NAME, file_bytes(self._files, self._folder))

    def add(
        self, name: str, scope: Scope, *, prefix: str = "", expires_us: int | None = None
    ) -> tuple[Token, str]:
        """See ``TokenStore.add``."""
        self._check(name, prefix, expires_us)
        token_id = secrets.token_hex(4)
        secret = f"{BEGINNING}{token_id}_{secrets.token_urlsafe(32)}"
        token = Token(token_id, name, scope, prefix, self._clock(), expires_us, digest_of(secret))
        with self._changing() as tokens:
            if any(other.name == name for other in tokens):
                raise InvalidRequest(
                    f"there is already a token named {name!r}; choose another name"
                )
            tokens.append(token)
        return token, secret

    def remove(self, name: str) -> Token | None:
        """See ``TokenStore.remove``."""
        with self._changing() as tokens:
            for token in tokens:
                if name in (token.name, token.token_id):
                    tokens.remove(token)
                    return token
        return None

    def watch(self) -> TokenWatch:
        """See ``TokenStore.watch``."""
        return TokenWatch(self._folder, files=self._files)

    def _check(self, name: str, prefix: str, expires_us: int | None) -> None:
        if not name.isprintable() or not 0 < len(name) <= NAME_CHARACTERS_MAX:
            raise InvalidRequest(f"a name has 1 to {NAME_CHARACTERS_MAX} printable characters")
        try:
            prefix.encode()
        except UnicodeEncodeError as ex:
            raise InvalidRequest("the prefix cannot be encoded as UTF-8") from ex
        if expires_us is not None and expires_us <= self._clock():
            raise InvalidRequest("the token would have expired already")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """Yield the tokens, to be changed in place; a change takes effect if no error occurs.

        1. lock, so that of two changes none is lost;
        2. replace the file: from here on new processes use the change, and within a second all do;
        3. count the change: from here on every process uses it at once.
        """
        self._files.make_folder(self._folder)
        with contextlib.closing(ChangePage(self._files, self._folder)) as page, page.locked():
            tokens = self.read()
            before = list(tokens)
            yield tokens
            if tokens != before:
                replace_file(self._files, self._folder / FILE_NAME, encode(tokens))
                page.count()
