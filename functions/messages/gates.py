"""The gates that all routes of one process share."""

from __future__ import annotations

from typing import NamedTuple

from rundlet_server.functions.messages.places import Places
from rundlet_server.functions.messages.sending import SendingGate
from rundlet_server.functions.messages.uploads import DecodingTurns
from rundlet_server.functions.waits import Waits


class Gates(NamedTuple):
    """The bounds on decoding, large answers and exports, and how requests wait."""

    turns: DecodingTurns
    sending: SendingGate
    exports: Places
    waits: Waits
