"""Deletion of all keys that are selected, if there are as many as expected."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import cbor2

from rundlet_server.storage.errors import Compacted, Conflict, LimitExceeded, WrongCount
from rundlet_server.storage.interface import Condition, Delete, Store, Txn
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.selecting.matching import Selected, all_selected, count_selected
from rundlet_server.storage.timeline import Moment

_ATTEMPTS: Final = 5

KeyAt = tuple[str, int]
"""A key and the revision of its value."""


class Deletion:
    """One deletion, ``at_once`` or ``in_batches``; neither loses a write that comes in between.

    Attributes:
        revision: of the newest commit; of the snapshot that was counted, if nothing was committed.
        deleted: how many keys are deleted by now, also if it fails.
        is_replay: it was done before, by the same request.
    """

    def __init__(
        self,
        store: Store,
        selected: Selected,
        expected: int,
        *,
        idempotency: Idempotency | None = None,
    ) -> None:
        """Prepare the deletion; with ``idempotency``, ``at_once`` does it only once."""
        self._store = store
        self._idempotency = idempotency
        self._selected = selected
        self._expected = expected
        self._batch_max = store.info.limits.txn_ops_max
        self.revision = 0
        self.deleted = 0
        self.is_replay = False

    def at_once(self) -> list[str]:
        """Delete the keys in one transaction and return them; return none for a replay.

        The transaction names the revision of every key. If a key has another one by then, all keys
        are counted anew.

        Raises:
            WrongCount: there are more or fewer than expected.
            Conflict, Compacted: other clients kept writing the keys.
            LimitExceeded: there are more than a transaction may delete.
            ReadOnly, Unavailable, OutcomeUnknown: as ``Store.commit``.
        """
        if self._recall():
            return []
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                found = self._counted()
                self._commit(found)
            except WrongCount:
                if self._recall():  # the same request was in flight, and deleted them
                    return []
                raise
            except (Conflict, Compacted):
                # Another write came first, or the snapshot was dropped while its pages were read.
                if attempt == _ATTEMPTS:
                    raise
            else:
                return [] if self.is_replay else [key for key, _ in found]
        raise AssertionError  # the last attempt returns or raises

    def in_batches(self) -> None:
        """Delete them in transactions of as many keys as one may have.

        They are counted first, then read in the same snapshot, so a key that comes later stays. If
        a key is written meanwhile, its new value is deleted; a key that others delete does not
        count.

        Raises:
            WrongCount: there were more or fewer than expected; nothing was deleted.
            Conflict: other clients kept writing the keys.
            ReadOnly, Unavailable, OutcomeUnknown: as ``Store.commit``, of one transaction.
            Compacted: the snapshot is no longer kept.
        """
        moment = self._counted_moment()
        for page in all_selected(self._store, self._selected, moment):
            left = [(info.key, info.revision) for info in page.keys]
            while left:
                batch = left[: self._batch_max]
                try:
                    self._delete(batch)
                except LimitExceeded:
                    if len(batch) == 1:
                        raise
                    self._batch_max = len(batch) // 2  # their keys are long
                    continue
                del left[: len(batch)]

    def _counted(self) -> list[KeyAt]:
        """Return the keys, if there are as many as expected and a transaction holds them."""
        limit = self._store.info.limits.txn_ops_max
        found: list[KeyAt] = []
        count = 0
        for page in all_selected(self._store, self._selected):
            self.revision = page.revision
            count += len(page.keys)
            if count <= limit:
                found += [(info.key, info.revision) for info in page.keys]
        self._require_expected(count)
        if count > limit:
            raise LimitExceeded("txn_ops_max", limit, count)
        return found

    def _counted_moment(self) -> Moment:
        """Return a moment at which there are as many as expected."""
        moment = self._store.get_many(()).moment
        self._require_expected(count_selected(self._store, self._selected, moment))
        self.revision = moment.revision
        return moment

    def _require_expected(self, count: int) -> None:
        if count != self._expected:
            raise WrongCount(self._expected, count)

    def _delete(self, batch: Sequence[KeyAt]) -> None:
        """Delete a batch, whatever others write meanwhile."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._commit(batch)
            except Conflict as ex:
                if attempt == _ATTEMPTS:
                    raise
                now = {failed.key: failed.revision for failed in ex.failed}
                current = ((key, now.get(key, revision)) for key, revision in batch)
                batch = [(key, revision) for key, revision in current if revision]
            else:
                return

    def _commit(self, found: Sequence[KeyAt]) -> None:
        if not found:
            return
        ops = [Delete(key) for key, _ in found]
        conditions = [Condition(key, revisions=(revision,)) for key, revision in found]
        txn = Txn(ops, conditions)
        if self._idempotency is not None:
            noted = dataclasses.replace(self._idempotency, note=cbor2.dumps(len(found)))
            txn = dataclasses.replace(txn, idempotency=noted)
        self._take(self._store.commit(txn), len(found))

    def _recall(self) -> bool:
        """Take the outcome of the same request; return whether it is remembered."""
        if self._idempotency is not None:
            commit = self._store.commit(Txn([], idempotency=self._idempotency))
            if commit.is_replay:
                self._take(commit, 0)
        return self.is_replay

    def _take(self, commit: Commit, count: int) -> None:
        self.revision = commit.revision
        self.is_replay = commit.note is not None
        self.deleted += count if commit.note is None else cbor2.loads(commit.note)
