"""The page that all processes of a store share: up to where the log is published and durable.

The file ``COMMIT`` is one page of aligned, native 8-byte words that every process maps. A reader
compares one word to know whether anything is new; a writer makes a commit visible by one store of
that word. The words that matter are kept twice (the word and its complement): if a process died
between the two stores, or if the page is damaged, the pair does not match, and then recovery reads
the log itself. Every process writes times, without a lock, so a time shares its word with a check
of 12 bits: a damaged time must not let keys expire.

After a restart of the machine, the page cannot be trusted, because the kernel may have written it
back at any time: the page carries the boot id, and under another boot id recovery reads the log,
too.
"""

from __future__ import annotations

import mmap
import uuid
from pathlib import Path
from typing import Final

from rundlet_server.storage.checksum import checksum
from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import File, FileIdentity, Files, make_page, map_file
from rundlet_server.storage.log.format.locator import OFFSET_BITS, OFFSET_MAX
from rundlet_server.storage.settings import BOOT_ID_UNKNOWN

FILE_NAME: Final = "COMMIT"
PAGE_SIZE: Final = 4_096

_MAGIC: Final = int.from_bytes(b"RNDLTCM\x01", "little")
_WORD_MAGIC: Final = 0
_WORD_BOOT: Final = 1
_WORD_BOOT_LOW: Final = 2
_WORD_GENERATION: Final = 3
_WORD_CLOCK: Final = 4
_WORD_EXPIRED_THROUGH: Final = 5
_WORD_ABANDONED: Final = 6
_WORD_COMPACTIONS: Final = 7
WORD_PUBLISHED: Final = 8
_PUBLISHED_AGAIN: Final = 9  # the complement
_WORD_DURABLE: Final = 10
_DURABLE_AGAIN: Final = 11  # the complement
_WORD_CHANGING: Final = 12
_WORD_COMPACTIONS_DONE: Final = 13
WORD_WAITERS: Final = 14
_ALL_ONES: Final = (1 << 64) - 1
_CHECK_BITS: Final = 12
_CHECK_MASK: Final = (1 << _CHECK_BITS) - 1
_TIME_MAX: Final = (1 << 64 - _CHECK_BITS) - 1


class CommitPage:
    """The mapped words. Positions are packed as in ``locator.pack_position``.

    Attributes:
        words: the page as unsigned 64-bit words; readers may look at
            ``words[WORD_PUBLISHED]`` without any lock.
    """

    def __init__(self, file: File, page: mmap.mmap, boot_id: int) -> None:
        self._file = file  # only for its lock: another one was mapped, see ``File.lock``
        self._boot_id = boot_id
        self._page = page
        self.words = memoryview(page).cast("Q")
        self._is_read_only = self.words.readonly
        self._latest = _time_word(0), 0  # the word of the clock that was written last, and its time

    @classmethod
    def open(cls, files: Files, folder: Path, boot_id: int) -> CommitPage:
        """Map the page, and make it, all zero, if it is missing; the caller holds the store's lock.

        While the page is open its file is locked shared, because a repair must be alone. So if
        another process has the page open, it is of this boot, even if the system does not tell the
        boot id.

        Args:
            files: the file system.
            folder: of the store.
            boot_id: of this boot of the machine, or ``BOOT_ID_UNKNOWN``.

        Raises:
            UnknownFormat: another release wrote the page.
        """
        mapped = files.open(folder / FILE_NAME, create=True)
        try:
            make_page(mapped, PAGE_SIZE)
            words = mapped.map(PAGE_SIZE, writable=True)
        finally:
            mapped.close()
        file = files.open(folder / FILE_NAME, create=True)
        try:
            is_of_this_boot = boot_id == BOOT_ID_UNKNOWN and _is_open_elsewhere(file)
            file.lock(is_shared=True)
            page = cls(file, words, boot_id)
            page._refuse_unknown(folder)
            if boot_id == BOOT_ID_UNKNOWN:
                page._boot_id = (is_of_this_boot and page._boot()) or uuid.uuid4().int
        except BaseException:
            file.close()  # this releases the lock, too, for which a repair would wait
            raise
        return page

    @classmethod
    def look(cls, files: Files, folder: Path, boot_id: int) -> CommitPage:
        """Map the page for reading only, without a lock that others could notice.

        Raises:
            FileNotFoundError: there is no page.
            Damaged: the page has another size.
            UnknownFormat: another release wrote the page.
        """
        file = files.open(folder / FILE_NAME, writable=False)
        try:
            if file.size() != PAGE_SIZE:
                reason = f"the commit page has {file.size()} bytes, not {PAGE_SIZE}"
                raise Damaged(folder / FILE_NAME, 0, reason)
            page = cls(file, map_file(files, folder / FILE_NAME, PAGE_SIZE), boot_id)
            page._refuse_unknown(folder)
        except BaseException:
            file.close()
            raise
        return page

    @classmethod
    def follow(cls, files: Files, folder: Path, boot_id: int) -> CommitPage:
        """Map the page as ``look`` does, and lock it shared: a repair must be alone.

        Raises:
            FileNotFoundError, Damaged, UnknownFormat: see ``look``.
        """
        page = cls.look(files, folder, boot_id)
        try:
            page._file.lock(is_shared=True)
        except BaseException:
            page.close()
            raise
        return page

    @property
    def published(self) -> int | None:
        """The end of what is published; ``None`` if the page cannot be trusted."""
        if self.words[_WORD_MAGIC] != _MAGIC or self._boot() != self._boot_id:
            return None
        return self._pair(WORD_PUBLISHED)

    @published.setter
    def published(self, position: int) -> None:
        self.words[WORD_PUBLISHED] = position
        self.words[_PUBLISHED_AGAIN] = position ^ _ALL_ONES

    def is_at(self, position: int, generation: int) -> bool:
        """Return whether the page can be trusted, and names this end and this manifest.

        It names none while a manifest is being installed. This is one expression, because every
        commit evaluates it.
        """
        words, boot_id = self.words, self._boot_id
        return (
            words[WORD_PUBLISHED] == position
            and words[_PUBLISHED_AGAIN] == position ^ _ALL_ONES
            and words[_WORD_GENERATION] == generation
            and not words[_WORD_CHANGING]
            and words[_WORD_MAGIC] == _MAGIC
            and words[_WORD_BOOT] == boot_id >> 64
            and words[_WORD_BOOT_LOW] == boot_id & _ALL_ONES
        )

    @property
    def durable(self) -> int | None:
        """A place up to which the log is on stable storage; true even under another boot id."""
        return self._pair(_WORD_DURABLE) if self.words[_WORD_MAGIC] == _MAGIC else None

    @durable.setter
    def durable(self, position: int) -> None:
        self.words[_WORD_DURABLE] = position
        self.words[_DURABLE_AGAIN] = position ^ _ALL_ONES

    def durable_in(self, segment: int) -> int:
        """Return the offset that ``durable`` is in a segment; 0 if it is in another one."""
        words = self.words
        durable = words[_WORD_DURABLE]
        is_whole = durable ^ _ALL_ONES == words[_DURABLE_AGAIN] and words[_WORD_MAGIC] == _MAGIC
        return durable & OFFSET_MAX if is_whole and durable >> OFFSET_BITS == segment else 0

    @property
    def generation(self) -> int:
        """The generation of the installed manifest; a change means that it must be read again."""
        return self.words[_WORD_GENERATION]

    @generation.setter
    def generation(self, generation: int) -> None:
        self.words[_WORD_GENERATION] = generation

    @property
    def is_changing(self) -> bool:
        """Whether a process is installing a manifest, or died or failed while it did.

        The holder of the store's lock knows which. In the second case the manifest on disk may be
        newer than ``generation`` says, and its name may not be durable yet.
        """
        return bool(self.words[_WORD_CHANGING])

    @is_changing.setter
    def is_changing(self, is_changing: bool) -> None:
        self.words[_WORD_CHANGING] = is_changing

    @property
    def clock_us(self) -> int:
        """The latest time that any process has acted on; time does not go back behind it."""
        return _checked_time(self.words[_WORD_CLOCK])

    def advance_clock(self, now_us: int) -> int:
        """Record a time; return it, or a later one that some process has recorded already.

        A page that is mapped for reading records nothing.
        """
        word, latest_us = self._latest  # most often no other process has written it meanwhile
        written = self.words[_WORD_CLOCK]
        if written != word:
            latest_us = _checked_time(written)
        if now_us <= latest_us:
            return latest_us
        if self._is_read_only:
            return now_us
        word = self.words[_WORD_CLOCK] = _time_word(now_us)
        self._latest = word, now_us
        return now_us

    @property
    def expired_through_us(self) -> int:
        """Every key that expired up to this time has its ``expire`` record in the log."""
        return _checked_time(self.words[_WORD_EXPIRED_THROUGH])

    @expired_through_us.setter
    def expired_through_us(self, time_us: int) -> None:
        self.words[_WORD_EXPIRED_THROUGH] = _time_word(time_us)

    @property
    def abandoned(self) -> int:
        """The number of the segment whose sync failed: it is neither written nor synced again."""
        return self.words[_WORD_ABANDONED]

    @abandoned.setter
    def abandoned(self, segment: int) -> None:
        self.words[_WORD_ABANDONED] = segment

    @property
    def compactions_wanted(self) -> int:
        """The number of compactions that were ever asked for."""
        return self.words[_WORD_COMPACTIONS]

    @compactions_wanted.setter
    def compactions_wanted(self, count: int) -> None:
        self.words[_WORD_COMPACTIONS] = count

    @property
    def compactions_done(self) -> int:
        """The value of ``compactions_wanted`` when the last thorough compaction began.

        It is kept here and not in the maintenance process: a compaction may be asked for before
        that process is up, or while it restarts.
        """
        return self.words[_WORD_COMPACTIONS_DONE]

    @compactions_done.setter
    def compactions_done(self, count: int) -> None:
        self.words[_WORD_COMPACTIONS_DONE] = count

    @property
    def waiters(self) -> int:
        """Odd if processes may wait for commits; another number after every newcomer."""
        return self.words[WORD_WAITERS]

    @waiters.setter
    def waiters(self, number: int) -> None:
        self.words[WORD_WAITERS] = number

    @property
    def is_read_only(self) -> bool:
        """Whether the page is mapped for reading only."""
        return self._is_read_only

    def start(self, *, published: int, generation: int, clock_us: int) -> None:
        """Begin anew after recovery; the caller holds the store's lock."""
        if self.words[_WORD_MAGIC] != _MAGIC or self._boot() != self._boot_id:
            self.words[_WORD_CLOCK] = 0
        self.words[_WORD_MAGIC] = 0
        self.published = published
        self.durable = published
        self.generation = generation
        self.advance_clock(clock_us)
        self.expired_through_us = 0
        boot = self._boot_id
        self.words[_WORD_BOOT], self.words[_WORD_BOOT_LOW] = boot >> 64, boot & _ALL_ONES
        self.words[_WORD_MAGIC] = _MAGIC

    def identity(self) -> FileIdentity:
        """Return which file the page is in."""
        return self._file.identity()

    def leave(self) -> None:
        """Release the shared lock of this process; readers may still look at the words."""
        self._file.unlock()

    def close(self) -> None:
        """Unmap the page and close its file."""
        self.words.release()
        self._page.close()
        self._file.close()

    def _refuse_unknown(self, folder: Path) -> None:
        magic = self.words[_WORD_MAGIC]
        if magic != _MAGIC and magic.to_bytes(8, "little").startswith(b"RNDLTCM"):
            raise UnknownFormat(
                f"{folder / FILE_NAME}: another release wrote this file; use that release"
            )

    def _boot(self) -> int:
        return self.words[_WORD_BOOT] << 64 | self.words[_WORD_BOOT_LOW]

    def _pair(self, word: int) -> int | None:
        value = self.words[word]
        return value if value ^ _ALL_ONES == self.words[word + 1] else None


def _is_open_elsewhere(file: File) -> bool:
    """Return whether another process has the page open; the caller holds the store's lock."""
    if file.lock(wait=False):
        return False
    return file.lock(wait=False, is_shared=True)  # else a repair holds it, and may die


def _time_word(time_us: int) -> int:
    """Return one word with a time, up to the year 2112, and its check."""
    time_us = min(time_us, _TIME_MAX)
    return time_us << _CHECK_BITS | checksum(time_us.to_bytes(8, "little")) & _CHECK_MASK


def _checked_time(word: int) -> int:
    """Return the time in a word; 0, as for an unknown time, if it does not match its check."""
    time_us = word >> _CHECK_BITS
    return time_us if _time_word(time_us) == word else 0
