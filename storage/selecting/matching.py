"""Lists of the keys that match a glob, over any store: its lists are read and filtered here.

A page reads a bounded number of keys, and matches a bounded number of characters, so it may hold
few keys or none although more follow. A count reads all keys of the range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rundlet_server.storage.errors import LimitExceeded
from rundlet_server.storage.interface import KeyInfo, Page, Store
from rundlet_server.storage.large_values import Admit
from rundlet_server.storage.selecting.globs import Glob
from rundlet_server.storage.timeline import At

_STEPS_MAX: Final = 64_000_000
"""What one page may cost, in ``Glob.cost``: a fraction of a second. Ten thousand keys of common
lengths cost less."""


@dataclass(frozen=True, slots=True)
class Selected:
    """Keys of a range, all or the matching ones; other attributes as in ``Store.scan``."""

    prefix: str
    glob: Glob | None = None
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a page; attributes as in ``Store.scan``."""

    limit: int
    after: str | None = None
    reverse: bool = False
    include_values: bool = False
    include_metadata: bool = False
    at: At | None = None
    admit: Admit | None = None


def matching_page(store: Store, selected: Selected, glob: Glob, wanted: Wanted) -> Page:
    """Return the next keys of a range that match; ``resume`` says whether to go on behind them.

    Values are read only of keys that match.

    Raises:
        Compacted: also if values are included, the store has moved on meanwhile, and it keeps no
            history.
    """
    page = store.scan(
        prefix=selected.prefix,
        start=selected.start,
        end=selected.end,
        after=wanted.after,
        limit=store.info.limits.list_keys_max,
        reverse=wanted.reverse,
        include_metadata=wanted.include_metadata,
        at=wanted.at,
        admit=wanted.admit,
    )
    bytes_max = store.info.limits.answer_bytes_max if wanted.include_values else None
    found, count = _matching(page.keys, glob, wanted.limit, bytes_max)
    resume = page.resume if count == len(page.keys) else page.keys[count - 1].key
    if wanted.include_values and found:
        shown = _with_values(store, found, page, wanted.admit)
        if len(shown) < len(found):
            resume = shown[-1].key
        found = shown
    return replace(page, keys=found, resume=resume)


def all_selected(store: Store, selected: Selected, at: At | None = None) -> Iterator[Page]:
    """Yield all keys that are selected, page by page of one snapshot."""
    after = None
    while True:
        page = store.scan(
            prefix=selected.prefix,
            start=selected.start,
            end=selected.end,
            after=after,
            limit=store.info.limits.list_keys_max,
            at=at,
        )
        glob = selected.glob
        if glob is None:
            yield page
        else:
            yield replace(page, keys=[info for info in page.keys if glob.matches(info.key)])
        if page.resume is None:
            return
        after, at = page.resume, page.moment


def count_selected(store: Store, selected: Selected, at: At | None = None) -> int:
    """Return how many keys are selected."""
    if selected.glob is None:
        return store.count(prefix=selected.prefix, start=selected.start, end=selected.end, at=at)
    return sum(len(page.keys) for page in all_selected(store, selected, at))


def _matching(
    infos: Sequence[KeyInfo], glob: Glob, limit: int, bytes_max: int | None
) -> tuple[list[KeyInfo], int]:
    """Return the keys for a page, and how many were looked at for it."""
    found: list[KeyInfo] = []
    steps = size = 0
    for count, info in enumerate(infos):
        steps += glob.cost(info.key)
        if len(found) == limit or (count and steps > _STEPS_MAX):
            return found, count
        if glob.matches(info.key):
            if bytes_max is not None:
                size += len(info.key.encode()) + info.size
                if found and size > bytes_max:
                    return found, count
            found.append(info)
    return found, len(infos)


def _with_values(
    store: Store, infos: Sequence[KeyInfo], page: Page, admit: Admit | None
) -> list[KeyInfo]:
    """Return the keys with their values, or only the first of them.

    Values come with their metadata, whose size a list does not tell. Half of the keys are tried
    again if the answer is too large with it.
    """
    while True:
        keys = [info.key for info in infos]
        try:
            entries = store.get_many(keys, at=page.moment, admit=admit).entries
        except LimitExceeded:
            if len(infos) == 1:
                raise
            infos = infos[: len(infos) // 2]
            continue
        return [info._replace(entry=entry) for info, entry in zip(infos, entries, strict=True)]
