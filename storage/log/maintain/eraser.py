"""Erasing a key: no read shows its versions from then on, and a thread removes their bytes.

An erasure has these steps; a process may die between any two of them:

1. write the manifest: earlier releases refuse its format, and they do not know the record;
2. commit a record of the kind ``ERASE``, a tombstone. From here on every process hides what is
   older (``View.erased``): the delta of the record's segment knows of it, and once that segment has
   an index file, ``Manifest.erased`` does;
3. in the background, remove the bytes (``erasure``). Only then is the key taken out of
   ``Manifest.erased``, so that, after a crash, the next process that maintains the folder
   continues.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Final

from rundlet_server.storage.bounds import ERASURES_MAX
from rundlet_server.storage.errors import StoreError, Unavailable
from rundlet_server.storage.log.format.record import ERASE
from rundlet_server.storage.log.maintain.background import Background
from rundlet_server.storage.log.maintain.maintainer import Maintainer
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.write.writer import Writer
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Erased

ERASURE_NAME: Final = "rundlet-erasure"
"""The name of the thread that removes bytes, if no process maintains the folder."""
_PAUSE_S: Final = 0.01


class Eraser:
    """Erases keys, for one process. Any thread may use it."""

    def __init__(
        self,
        settings: StoreSettings,
        *,
        follower: Follower,
        writer: Writer,
        maintainer: Maintainer,
    ) -> None:
        self._follower = follower
        self._writer = writer
        self._maintainer = maintainer
        self._is_inline = settings.maintain_inline and not settings.is_read_only
        self._removal = Background(ERASURE_NAME)

    def resume(self) -> None:
        """Begin step 3, if it is due and no process maintains the folder."""
        if self._is_inline and self._follower.current().erased:
            self._removal.request(self._remove)

    def join(self) -> None:
        """Wait until this process no longer removes bytes."""
        self._removal.join()

    def erase(self, key: bytes, wait_s: float) -> Erased:
        """See ``Store.erase``."""
        erased = self._erase(key)
        if not erased.is_pending:
            return erased
        self.resume()
        return self._waited(erased, key, wait_s)

    def _erase(self, key: bytes) -> Erased:
        """Do steps 1 and 2, unless there is nothing to erase.

        Raises:
            Unavailable: also if the removal of earlier erasures is too far behind.
            DiskFull, OutcomeUnknown: see ``Writer.write``.
        """
        with self._writer.exclusive() as view:
            newest = view.find(key)
            if newest is None:
                return Erased(view.head.revision, 0, is_pending=False, is_found=False)
            if newest.kind == ERASE:
                return Erased(newest.revision, 0, is_pending=key in view.erased)
            if len(view.erased) >= ERASURES_MAX:
                reason = f"the bytes of {ERASURES_MAX} erased keys are still to be removed"
                raise Unavailable(f"{reason}; try again in a moment")
            known = self._writer.install_manifest(view.manifest.changed())
            batch = self._writer.begin(known)
            count = batch.erase(key)
            self._writer.write(known, batch.frames)
            return Erased(batch.frames.head.revision, count, is_pending=True)

    def _waited(self, erased: Erased, key: bytes, wait_s: float) -> Erased:
        """Wait until some process has removed the erased bytes, for at most ``wait_s`` seconds."""
        end_s = time.monotonic() + wait_s
        while erased.is_pending:
            if key not in self._follower.refresh().erased:
                return dataclasses.replace(erased, is_pending=False)
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                break
            time.sleep(min(_PAUSE_S, left_s))
        return erased

    def _remove(self) -> None:
        try:
            self._maintainer.remove_erased()
        except (StoreError, OSError) as ex:
            self._writer.failure = f"what was erased could not be removed: {ex}"
