"""Globs on keys.

``*`` is any text, ``/`` included, ``?`` any character, ``[abc]`` one of them, ``[!abc]`` another.
"""

from __future__ import annotations

import re
from fnmatch import translate

from rundlet_server.storage.bounds import GLOB_CHARACTERS_MAX
from rundlet_server.storage.errors import InvalidRequest


class Glob:
    """Matches what follows the first characters of keys.

    ``translate`` puts all up to a ``*`` into an atomic group, which takes the first place that fits
    and never tries another. So a key costs at most its length times that of the pattern, which is
    bounded, and no pattern costs more than that.
    """

    def __init__(self, pattern: str, skipped: int) -> None:
        """Read a pattern.

        Args:
            pattern: must match all of a key that is not skipped.
            skipped: characters at the beginning of each key that the pattern leaves out.

        Raises:
            InvalidRequest: the pattern is empty or too long.
        """
        if not 1 <= len(pattern) <= GLOB_CHARACTERS_MAX:
            raise InvalidRequest(f"a glob has 1 to {GLOB_CHARACTERS_MAX} characters")
        self.pattern = pattern
        self._skipped = skipped
        self._match = re.compile(translate(pattern)).match

    def matches(self, key: str) -> bool:
        """Return whether a key matches."""
        return self._match(key, self._skipped) is not None

    def cost(self, key: str) -> int:
        """Return the most steps that it takes to match a key."""
        return len(key) * len(self.pattern)
