"""How a log store runs. Every setting has a default that is safe."""

from __future__ import annotations

import dataclasses
import functools
import json
import resource
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from rundlet_server.storage.bounds import KEY_BYTES_LIMIT, VALUE_BYTES_LIMIT
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.counting.measures import Measures
from rundlet_server.storage.files import Files, RealFiles
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.timeline import Retention

SyncPolicy = Literal["always", "interval", "never"]

# Not handed over: the maintenance process writes, and does its maintenance in its own process.
_OF_ONE_PROCESS: Final = frozenset({"is_read_only", "maintain_inline"})


_DESCRIPTORS_MAX: Final = 1 << 20
"""Linux allows no more without a limit of the process, by default (``fs.nr_open``)."""

BOOT_ID_UNKNOWN: Final = -1
"""The boot id if the system has none. No commit page has this number."""


@functools.cache
def system_boot_id() -> int:
    """Return a number of this boot of the machine, or ``BOOT_ID_UNKNOWN``.

    Without one, a process that opens a store which no other process has open reads the end of the
    log, which is slower, but as correct.
    """
    try:
        return uuid.UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip()).int
    except (OSError, ValueError):
        return BOOT_ID_UNKNOWN


def descriptors_max() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft


def _quarter_of_descriptors() -> int:
    return max(descriptors_max() // 4, 8)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Settings of a log store.

    Attributes:
        sync: when a commit is on stable storage: before it is acknowledged (``always``), at most
            ``sync_interval_s`` later (``interval``), when the system writes it back (``never``).
        sync_interval_s: for ``interval``, in seconds.
        keep_versions, keep_for_s: set the retention of the store when it is opened, see
            ``Retention``; ``None`` leaves what the store has.
        limits: the most a request may ask for.
        is_read_only: refuse commits.
        maintain_inline: checkpoint and compact in this process; false if a maintenance process
            looks after the folder.
        segment_bytes_max: a segment of this size is sealed.
        segment_records_max: a segment with this many records is sealed, too; this bounds the memory
            for records that are not indexed yet, and the time to open.
        cache_bytes_max: memory, in each process, for values that were read.
        open_segments_max: segments that are kept open for reading, and files of commit times that
            are kept mapped, which take a descriptor, too; by default each a quarter of the
            descriptors that the process may have.
        measures: counts and times what the store does.
        files: the file system.
        clock: tells the time in microseconds since the epoch.
        boot_id: of this boot of the machine, 128 bits, or ``BOOT_ID_UNKNOWN``; memory written
            under another one may have been lost.
    """

    sync: SyncPolicy = "always"
    sync_interval_s: float = 1.0
    keep_versions: int | None = None
    keep_for_s: float | None = None
    limits: Limits = field(default_factory=Limits)
    is_read_only: bool = False
    maintain_inline: bool = True
    segment_bytes_max: int = 128 * 1024 * 1024
    segment_records_max: int = 65_536
    cache_bytes_max: int = 32 * 1024 * 1024
    open_segments_max: int = field(default_factory=_quarter_of_descriptors)
    measures: Measures = field(default_factory=Measures)
    files: Files = field(default_factory=RealFiles)
    clock: Callable[[], int] = system_clock_us
    boot_id: int = field(default_factory=system_boot_id)

    def __post_init__(self) -> None:
        """Refuse limits that the formats of the files cannot keep."""
        limits = self.limits
        if limits.key_bytes_max > KEY_BYTES_LIMIT:
            raise ValueError(f"key_bytes_max is at most {KEY_BYTES_LIMIT}")
        if max(limits.value_bytes_max, limits.txn_bytes_max) > VALUE_BYTES_LIMIT:
            raise ValueError(f"value_bytes_max and txn_bytes_max are at most {VALUE_BYTES_LIMIT}")

    def retention(self, present: Retention) -> Retention:
        """Return the retention that a store is to have, given its present one."""
        return Retention(
            present.keep_versions if self.keep_versions is None else self.keep_versions,
            present.keep_for_s if self.keep_for_s is None else self.keep_for_s,
        )

    def to_json(self) -> str:
        """Return the settings that a process needs to maintain the folder in the same way."""
        handed = {each.name: getattr(self, each.name) for each in _handed_over()}
        return json.dumps(handed)

    @classmethod
    def from_json(cls, text: str) -> StoreSettings:
        """Return the settings that ``to_json`` wrote; what the text leaves out keeps its default.

        Raises:
            ValueError: the text is not a JSON object of such settings.
        """
        handed = json.loads(text)
        unknown = set(handed) - {each.name for each in _handed_over()}
        if unknown:
            raise ValueError(f"these are not settings of a store: {', '.join(sorted(unknown))}")
        return dataclasses.replace(cls(), **handed)


def _handed_over() -> Iterator[dataclasses.Field[object]]:
    """Yield the fields that are plain values and mean the same in every process."""
    for each in dataclasses.fields(StoreSettings):
        if isinstance(each.default, str | int | float) and each.name not in _OF_ONE_PROCESS:
            yield each
