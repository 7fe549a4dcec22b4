"""Globs on keys: ``*`` is any text, ``?`` any character, ``[abc]`` one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rundlet import KeyInfo


def matching(infos: Iterable[KeyInfo], glob: str | None, prefix: str) -> Iterator[KeyInfo]:
    """Yield the keys that match a glob, if there is one, with what follows their prefix."""
    if glob is None:
        return iter(infos)
    is_match = re.compile(translate(glob)).match
    return (info for info in infos if is_match(info.key, len(prefix)))
