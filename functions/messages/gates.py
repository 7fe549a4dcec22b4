"""The gates that all routes of one process share."""

from __future__ import annotations

from typing import NamedTuple

from rundlet_server.functions.messages.places import Places
from rundlet_server.functions.messages.sending import SendingGate
from rundlet_server.functions.messages.uploads import UploadGate


class Gates(NamedTuple):
    """What bounds bodies on their way in, and large answers and exports on their way out."""

    uploads: UploadGate
    sending: SendingGate
    exports: Places
