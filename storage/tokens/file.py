"""The tokens of a folder, to be listed and changed; ``format`` defines the bytes of its files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.files import Files, RealFiles, replace_file
from rundlet_server.storage.tokens.format import FILE_NAME, ChangePage, decode, encode, file_bytes
from rundlet_server.storage.tokens.interface import Scope, Token
from rundlet_server.storage.tokens.making import add_to, new_token, remove_from
from rundlet_server.storage.tokens.watch import TokenWatch


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
        token, secret = new_token(
            name, scope, prefix=prefix, expires_us=expires_us, now_us=self._clock()
        )
        with self._changing() as tokens:
            add_to(tokens, token)
        return token, secret

    def remove(self, name: str) -> Token | None:
        """See ``TokenStore.remove``."""
        with self._changing() as tokens:
            return remove_from(tokens, name)

    def watch(self) -> TokenWatch:
        """See ``TokenStore.watch``."""
        return TokenWatch(self._folder, files=self._files)

    def close(self) -> None:
        """See ``TokenStore.close``: there are no connections."""

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """Yield the tokens, to be changed in place; a change takes effect if no error occurs.

        1. lock, so that two changes at once do not overwrite each other;
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
