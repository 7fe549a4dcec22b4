"""The valid tokens, for a server that asks at every request."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.storage.errors import DamagedTokens, StoreError
from rundlet_server.storage.files import CANNOT_WRITE, Files, RealFiles
from rundlet_server.storage.tokens.format import FILE_NAME, ChangePage, decode, file_bytes
from rundlet_server.storage.tokens.interface import TokenTable

_LOOK_S: Final = 1.0


class _Look(NamedTuple):
    """The result of a look at the file.

    Attributes:
        changes: the count of changes before the file was read.
        until_s: the next look comes at this time at the latest.
        found: the tokens, or why they cannot be read.
    """

    changes: int
    until_s: float
    found: TokenTable | StoreError


class TokenWatch:
    """The ``TokenSource`` of a folder.

    If the file was there and is missing now, that is damage: after the last token is revoked, the
    file is still there, and a mistake with ``rm`` or a copy must not turn authentication off.
    """

    def __init__(
        self,
        folder: Path,
        *,
        files: Files | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to watch a folder, which is made if it is missing.

        If nothing can be written there, a change takes effect within a second, not at once.

        ``clock`` counts seconds.

        Raises:
            DamagedTokens, UnknownFormat, OSError: see ``TokenStore.read``.
        """
        self._files = files or RealFiles()
        self._folder = folder
        self._clock = clock
        self._files.make_folder(folder)
        self._words = self._changes()
        self._was_there = False
        self._last = self._look()
        self.current()

    def _changes(self) -> memoryview:
        """Return the words that count changes; if the page cannot be made, private words."""
        try:
            page = ChangePage(self._files, self._folder)
        except OSError as ex:
            if ex.errno not in CANNOT_WRITE:
                raise
            return memoryview(bytes(8)).cast("Q")
        page.close()
        return page.words

    def current(self) -> TokenTable:
        """See ``TokenSource.current``."""
        last = self._last
        if self._words[0] != last.changes or self._clock() >= last.until_s:
            # Assigned as one, and not read back: a thread that was held up between reading the
            # file and this line may assign an older look, which the count then reveals.
            last = self._last = self._look()
        if isinstance(last.found, StoreError):
            raise last.found.with_traceback(None)
        return last.found

    def _look(self) -> _Look:
        # The count first: if a change comes while the file is read, the next call looks again.
        changes = self._words[0]
        return _Look(changes, self._clock() + _LOOK_S, self._found())

    def _found(self) -> TokenTable | StoreError:
        path = self._folder / FILE_NAME
        try:
            data = file_bytes(self._files, self._folder)
            if data is None and self._was_there:
                return DamagedTokens(
                    path, 0, "the file was there and is missing; restore it, or restart the server"
                )
            self._was_there = data is not None
            return TokenTable(decode(path, data))
        except StoreError as ex:
            return ex
        except OSError as ex:
            return DamagedTokens(path, 0, f"the file cannot be read: {ex.strerror}")
