"""The result of a transaction."""

from __future__ import annotations

from typing import NamedTuple


class OpResult(NamedTuple):
    """The result of one operation.

    Attributes:
        found: the key had a value before.
        version: the key's version now; 0 after a delete.
        number: the new number, for ``Add`` only.
    """

    found: bool
    version: int
    number: int | None = None


class Commit(NamedTuple):
    """The result of a transaction.

    Attributes:
        succeeded: ``then`` was done; false if ``otherwise`` was.
        revision: of this commit; of the head if nothing needed to be written.
        results: one per operation done, in order.
        note: of the request that was done before, if this is its outcome (``Idempotency``);
            ``None`` if it was done now.
    """

    succeeded: bool
    revision: int
    results: tuple[OpResult, ...]
    note: bytes | None = None

    @property
    def is_replay(self) -> bool:
        """Whether this is the outcome of a request that was done before."""
        return self.note is not None
