"""``DELETE /v1/keys``: read the request and encode its answer."""

from __future__ import annotations

from typing import NamedTuple, Self

import falcon

from rundlet_server.functions.access.idempotency import idempotency_of
from rundlet_server.functions.messages.answers import DeletionAnswer
from rundlet_server.functions.messages.bodies import encode
from rundlet_server.functions.messages.query import Query, bad_query, glob_given
from rundlet_server.functions.problems import Member, Problem, problem_of
from rundlet_server.functions.route_table import KEYS
from rundlet_server.storage.errors import Conflict, StoreError, WrongCount
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.selecting.deletion import Deletion
from rundlet_server.storage.selecting.matching import Selected


class DeletionRequest(NamedTuple):
    """The keys to delete, their expected number, and whether to delete them in one transaction."""

    selected: Selected
    expected: int
    is_atomic: bool

    @classmethod
    def from_query(cls, req: falcon.Request) -> Self:
        """Read the options.

        Raises:
            Problem: 400 ``bad-query``.
        """
        query = Query(req, "prefix", "match", "expect", "atomic")
        prefix = query.text("prefix")
        if not prefix:
            raise bad_query("the option 'prefix' is needed and not empty: no request deletes all")
        expected = query.number("expect")
        if expected is None:
            raise bad_query(
                "the option 'expect' is needed: how many keys there are to delete; HEAD with the"
                " same 'prefix' and 'match' counts them"
            )
        is_atomic = query.text("atomic") is None or query.flag("atomic")
        return cls(Selected(prefix, glob_given(query, prefix)), expected, is_atomic)

    def idempotency(self, req: falcon.Request, keep_s: int) -> Idempotency | None:
        """Return the idempotency key and fingerprint; ``None`` if the request sends no key.

        Raises:
            Problem: 400 ``bad-idempotency-key``, also for several transactions: each would have an
                outcome of its own, and none of them is the answer.
        """
        repeat = idempotency_of(req, keep_s, KEYS.path)
        if repeat is not None and not self.is_atomic:
            detail = (
                "a deletion in several transactions has no single outcome to remember; send it"
                " without Idempotency-Key, or without 'atomic=false'"
            )
            raise Problem(400, "bad-idempotency-key", detail)
        return repeat


def encode_deletion(deletion: Deletion, media_type: str) -> bytes:
    """Encode the result of a deletion."""
    answer: DeletionAnswer = {"revision": deletion.revision, "deleted": deletion.deleted}
    return encode(answer, media_type)


def stopped(ex: StoreError, deletion: Deletion) -> Problem:
    """Return the answer to a deletion that failed; what was deleted before stays deleted."""
    problem = _problem(ex)
    if not deletion.deleted:
        return problem
    detail = f"{deletion.deleted} keys are deleted, then: {problem.detail}"
    members: dict[str, Member] = {**problem.members, "deleted": deletion.deleted}
    headers = dict(problem.headers)
    headers.pop("Retry-After", None)  # it would mean that nothing was done
    return Problem(
        problem.status, problem.name, detail, members, headers=headers, over=problem.over
    )


def _problem(ex: StoreError) -> Problem:
    match ex:
        case WrongCount():
            detail = (
                f"there are {ex.count} keys to delete and not {ex.expected}, so nothing was"
                " changed; look at the list and decide again"
            )
            return Problem(412, "precondition-failed", detail, {"count": ex.count})
        case Conflict():
            failed = [{"index": f.index, "key": f.key, "revision": f.revision} for f in ex.failed]
            detail = (
                "other clients kept writing the keys, so they were not deleted; look at the list"
                " and decide again"
            )
            return Problem(409, "delete-conflict", detail, {"failed": failed})
        case _:
            return problem_of(ex)
