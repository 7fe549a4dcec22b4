"""The signals that end a server in order: in-flight requests are answered first.

A terminal that closes sends SIGHUP. SIGHUP need not reload anything: the server notices new tokens
and a rotated audit file by itself.
"""

from __future__ import annotations

import signal
from typing import Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def is_ignored(number: signal.Signals) -> bool:
    """Return whether this process ignores a signal, as ``nohup`` arranges for SIGHUP."""
    return signal.getsignal(number) == signal.SIG_IGN
