"""The groups under which ``rundlet --help`` lists the commands."""

from __future__ import annotations

from typing import Final


class Panel:
    """Names of the help groups, for ``rich_help_panel``."""

    DATA: Final = "Data"
    TIME: Final = "Time"
    SERVER: Final = "Server"
    CARE: Final = "Care"
