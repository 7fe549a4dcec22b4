"""The sample data: transactions as ``/v1/txn`` takes them, in one file.

The dashboard posts them as they are (``static/tour/loading.js``); ``rundlet demo`` reads them here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal, NotRequired, TypedDict

_PATH: Final = Path(__file__).parent / "static/tour/samples.json"


class SampleWrite(TypedDict):
    """One write: a put has ``text`` and ``content_type``, an addition ``by``."""

    op: Literal["put", "add", "delete"]
    key: str
    text: NotRequired[str]
    content_type: NotRequired[str]
    ttl: NotRequired[float]
    by: NotRequired[int]


class SampleCondition(TypedDict):
    """A condition on a key."""

    key: str
    exists: bool


SampleTxn = TypedDict(
    "SampleTxn", {"if": NotRequired[list[SampleCondition]], "then": list[SampleWrite]}
)


class SampleStep(TypedDict):
    """A commit, and a note that explains it."""

    note: str
    txn: SampleTxn


class Samples(TypedDict):
    """The file.

    Attributes:
        prefix: the prefix of all keys of the samples.
        marker: a key that exists if the samples are loaded.
        steps: the commits, in order; the last one is the release to roll back.
    """

    prefix: str
    marker: str
    steps: list[SampleStep]


def read_samples() -> Samples:
    """Read the file.

    Raises:
        OSError: it cannot be read.
    """
    samples: Samples = json.loads(_PATH.read_bytes())
    return samples
