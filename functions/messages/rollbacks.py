"""The types of the bodies of ``/v1/diff`` and ``/v1/rollback``, of requests and answers.

As in ``answers``, these types are shown in the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NotRequired, TypedDict

from msgspec import Meta, Struct

from rundlet_server.functions.messages.answers import Texts, Time
from rundlet_server.functions.messages.bodies import encode
from rundlet_server.functions.messages.moments import MomentAt, time_us_of
from rundlet_server.functions.messages.requests import Key, Revision
from rundlet_server.functions.messages.timelines import NextUrl
from rundlet_server.functions.problems import Problem, too_large
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.past.differences import Difference, KeyState
from rundlet_server.storage.past.rollback import RolledBack, Scope
from rundlet_server.storage.timeline import At


class StateInfo(TypedDict):
    """What a key held at one of two moments, without its value."""

    revision: int
    version: int
    time: Time
    size: Annotated[int, Meta(description="In bytes.")]
    content_type: str
    expires: NotRequired[Time]
    meta: NotRequired[Texts]


DifferenceInfo = TypedDict(
    "DifferenceInfo",
    {
        "key": str,
        "change": Literal["added", "changed", "removed"],
        "from": NotRequired[StateInfo],
        "to": NotRequired[StateInfo],
    },
)
"""A key that is not the same at two moments; the side without a value is left out."""

DiffPage = TypedDict(
    "DiffPage",
    {
        "from": Annotated[int, Meta(description="The revision that is compared.")],
        "to": Annotated[int, Meta(description="The revision that it is compared with.")],
        "changes": list[DifferenceInfo],
        "next": NotRequired[NextUrl],
    },
)
"""Keys that differ between two revisions, in order."""


class RollbackRequest(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which keys are put back to what they held when."""

    to: Annotated[
        Revision | str,
        Meta(description="A revision, or a time as RFC 3339 writes it."),
    ]
    prefix: Annotated[
        str | None, Meta(description="All keys that start with it; '' means all keys.")
    ] = None
    keys: Annotated[
        list[Key] | None, Meta(description="These keys, instead of those with a prefix.")
    ] = None
    dry_run: Annotated[bool | None, Meta(description="Only report what would be done.")] = None

    def scope(self, limits: Limits) -> Scope:
        """Return the keys to roll back.

        Raises:
            Problem: 422 ``bad-members``, 413 ``too-large``.
        """
        if (self.prefix is None) == (self.keys is None):
            raise _wrong("a rollback needs exactly one of 'prefix' and 'keys'")
        if self.keys is not None and len(self.keys) > limits.list_keys_max:
            raise too_large("list_keys_max", limits.list_keys_max, len(self.keys))
        for text in (self.prefix or "", *(self.keys or ())):
            if not _is_utf8(text):
                raise _wrong("'prefix' and 'keys' must be UTF-8; one has half of a surrogate pair")
        return Scope(self.prefix or "", self.keys)

    def where(self, moment_at: MomentAt) -> At:
        """Return the state to go back to.

        Raises:
            Problem: 422 ``bad-members``.
        """
        if isinstance(self.to, int):
            return self.to
        time_us = time_us_of(self.to)
        if time_us is None:
            raise _wrong("'to' must be a revision or a time such as \"2027-01-31T12:00:00Z\"")
        return moment_at(time_us)


class RollbackAnswer(TypedDict):
    """What a rollback did, or would do."""

    revision: Annotated[int, Meta(description="Of its commit; of the head if it wrote nothing.")]
    restored: Annotated[int, Meta(description="Keys whose value was written again.")]
    deleted: Annotated[int, Meta(description="Keys that had no value then.")]
    unchanged: Annotated[int, Meta(description="Keys that were left alone.")]
    changes: NotRequired[
        Annotated[
            list[DifferenceInfo], Meta(description="Of a dry run, from the head to the result.")
        ]
    ]


def encode_diff(
    revisions: tuple[int, int],
    found: Sequence[Difference],
    next_url: str | None,
    media_type: str,
) -> bytes:
    """Encode a page of differences."""
    answer: DiffPage = {
        "from": revisions[0],
        "to": revisions[1],
        "changes": [_difference(difference) for difference in found],
    }
    if next_url is not None:
        answer["next"] = next_url
    return encode(answer, media_type)


def encode_rollback(done: RolledBack, media_type: str, *, dry_run: bool) -> bytes:
    """Encode the result of a rollback."""
    answer: RollbackAnswer = {
        "revision": done.revision,
        "restored": done.restored,
        "deleted": done.deleted,
        "unchanged": done.unchanged,
    }
    if dry_run:
        answer["changes"] = [_difference(difference) for difference in done.changes]
    return encode(answer, media_type)


def _difference(difference: Difference) -> DifferenceInfo:
    shown: DifferenceInfo = {"key": difference.key, "change": difference.change}
    if difference.before is not None:
        shown["from"] = _state(difference.before)
    if difference.after is not None:
        shown["to"] = _state(difference.after)
    return shown


def _state(state: KeyState) -> StateInfo:
    shown: StateInfo = {
        "revision": state.revision,
        "version": state.version,
        "time": rfc3339(state.time_us),
        "size": state.size,
        "content_type": state.content_type,
    }
    if state.expires_us is not None:
        shown["expires"] = rfc3339(state.expires_us)
    if state.metadata:
        shown["meta"] = dict(state.metadata)
    return shown


def _wrong(detail: str) -> Problem:
    return Problem(422, "bad-members", detail)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
