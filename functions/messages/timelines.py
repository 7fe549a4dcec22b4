"""The types of the bodies of the history routes, of requests and answers.

As in ``answers``, these types are shown in the OpenAPI document.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NotRequired, TypedDict

from msgspec import Meta, Struct

from rundlet_server.functions.messages.answers import Texts, Time
from rundlet_server.functions.messages.bodies import encode
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage import timeline as storage
from rundlet_server.storage.bounds import KEEP_FOR_S_MAX, KEEP_VERSIONS_MAX

ERASE_WAIT_S_MAX: Final = 60.0
"""An erasure may wait so long for the bytes to be removed."""

NextUrl = Annotated[str, Meta(description="URL of the next page, as in Link.")]


class VersionInfo(TypedDict):
    """One version of a key; version and size are 0 where the key has no value after it."""

    revision: int
    version: Annotated[int, Meta(description="n-th write since the key was last created.")]
    op: Literal["put", "delete", "expire", "restore", "erase"]
    time: Time
    size: Annotated[int, Meta(description="In bytes.")]
    content_type: str
    expires: NotRequired[Time]
    meta: NotRequired[Texts]


class HistoryPage(TypedDict):
    """Versions of one key, newest first."""

    key: str
    revision: Annotated[int, Meta(description="Of the head that they were read at.")]
    oldest_revision: Annotated[int, Meta(description="From here on all keys can be read.")]
    versions: list[VersionInfo]
    next: NotRequired[NextUrl]


class Retention(Struct, forbid_unknown_fields=True):
    """Which history the store keeps."""

    keep_versions: Annotated[
        int,
        Meta(
            ge=1,
            le=KEEP_VERSIONS_MAX,
            description="So many newest versions of each key that has a value.",
        ),
    ]
    keep_for_s: Annotated[
        float,
        Meta(
            ge=0,
            le=KEEP_FOR_S_MAX,
            description="Everything that could be seen in the last so many seconds.",
        ),
    ]

    def to_storage(self) -> storage.Retention:
        """Convert it to what the store takes."""
        return storage.Retention(self.keep_versions, self.keep_for_s)


class ErasedAnswer(TypedDict):
    """What an erasure did."""

    revision: Annotated[int, Meta(description="Of its commit.")]
    erased: Annotated[int, Meta(description="How many versions can no longer be read.")]
    pending: Annotated[bool, Meta(description="Their bytes are still to be removed.")]


def encode_erased(erased: storage.Erased, media_type: str) -> bytes:
    """Encode the result of an erasure."""
    answer: ErasedAnswer = {
        "revision": erased.revision,
        "erased": erased.versions,
        "pending": erased.is_pending,
    }
    return encode(answer, media_type)


def encode_history(
    key: str, history: storage.History, next_url: str | None, media_type: str
) -> bytes:
    """Encode a page of a key's history."""
    answer: HistoryPage = {
        "key": key,
        "revision": history.revision,
        "oldest_revision": history.oldest_revision,
        "versions": [_shown(version) for version in history.versions],
    }
    if next_url is not None:
        answer["next"] = next_url
    return encode(answer, media_type)


def encode_retention(retention: storage.Retention, media_type: str) -> bytes:
    """Encode the retention of a store."""
    members = {"keep_versions": retention.keep_versions, "keep_for_s": retention.keep_for_s}
    return encode(members, media_type)


def _shown(version: storage.Version) -> VersionInfo:
    shown: VersionInfo = {
        "revision": version.revision,
        "version": version.version,
        "op": version.kind,
        "time": rfc3339(version.time_us),
        "size": version.size,
        "content_type": version.content_type,
    }
    if version.expires_us is not None:
        shown["expires"] = rfc3339(version.expires_us)
    if version.metadata:
        shown["meta"] = dict(version.metadata)
    return shown
