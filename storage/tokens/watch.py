"""The tokens in force, for a server that is asked at every request."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.storage.errors import DamagedTokens, StoreError
from rundlet_server.storage.files import Files, RealFiles
from rundlet_server.storage.tokens.format import FILE_NAME, ChangePage, decode, file_bytes
from rundlet_server.storage.tokens.interface import TokenTable

_LOOK_S: Final = 1.0


class _Look(NamedTuple):
    """What was found when the file was looked at.

    Attributes:
        changes: their count, before the file was read.
        until_s: by then it is looked at again in any case.
        found: the tokens, or why they cannot be told.
    """

    changes: int
    until_s: float
    found: TokenTable | StoreError


class TokenWatch:
    """The ``TokenSource`` of a folder.

    A file that was there and is gone is damage. Taking back the last token leaves a file of none;
    a mistake with ``rm`` or a copy is to open no server.
    """

    def __init__(
        self,
        folder: Path,
        *,
        files: Files | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to watch a folder, which is made where it is missing.

        ``clock`` counts seconds.

        Raises:
            DamagedTokens, UnknownFormat, OSError: see ``TokenStore.read``.
        """
        self._files = files or RealFiles()
        self._folder = folder
        self._clock = clock
        self._files.make_folder(folder)
        page = ChangePage(self._files, folder)
        self._words = page.words
        page.close()
        self._was_there = False
        self._last = self._look()
        self.current()

    def current(self) -> TokenTable:
        """See ``TokenSource.current``."""
        last = self._last
        if self._words[0] != last.changes or self._clock() >= last.until_s:
            # Put there as one, and not read back: a thread that was held up between reading the
            # file and this line may put an older look there, which the count then gives away.
            last = self._last = self._look()
        if isinstance(last.found, StoreError):
            raise last.found.with_traceback(None)
        return last.found

    def _look(self) -> _Look:
        # The count first: a change that comes while the file is read is then looked at again.
        changes = self._words[0]
        return _Look(changes, self._clock() + _LOOK_S, self._found())

    def _found(self) -> TokenTable | StoreError:
        path = self._folder / FILE_NAME
        try:
            data = file_bytes(self._files, self._folder)
            if data is None and self._was_there:
                return DamagedTokens(
                    path, 0, "it was there and is gone; restore it, or start again"
                )
            self._was_there = data is not None
            return TokenTable(decode(path, data))
        except StoreError as ex:
            return ex
        except OSError as ex:
            return DamagedTokens(path, 0, f"it cannot be read: {ex.strerror}")
