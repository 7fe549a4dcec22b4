"""One line of JSON, safe to show on a terminal."""

from __future__ import annotations

import json


def to_line(members: dict[str, object]) -> str:
    """Return one line of JSON without its newline, with control characters escaped."""
    line = json.dumps(members, ensure_ascii=False)
    return line if line.isprintable() else json.dumps(members)
