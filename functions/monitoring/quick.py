"""The interface for answers that are made without Falcon: ``functions.plain`` makes them.

``MeasuredApp`` and a server with an event loop use it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from rundlet_server.storage.interface import Txn
from rundlet_server.storage.outcomes.results import Commit

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

Kind = tuple[str, str]
"""The counter of a request: its route and method as in ``routing.ROUTE``, and the status."""
PlainAnswer = tuple[Kind, list[tuple[str, str]], bytes]
"""An answer that is made without Falcon: its counter, headers and body."""
AsgiAnswer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""A counted answer for ASGI: its status, headers and body."""

QUICK_METHODS: Final = ("GET", "HEAD")
"""The methods of the requests that ``QuickAnswers`` may answer."""
QUICK_WRITES: Final = ("PUT", "DELETE")
"""The methods of the requests that ``QuickWrites`` may answer."""


class QuickAnswers(Protocol):
    """Answers some requests without Falcon, and leaves all others to it. Any thread may call it."""

    def answer(self, environ: WSGIEnvironment) -> PlainAnswer | None:
        """Return the answer to a WSGI request; ``None`` if Falcon answers it."""

    def answer_asgi(
        self, method: str, raw_path: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> AsgiAnswer | None:
        """Return the answer to an ASGI request, and count it; ``None`` if Falcon answers it.

        Args:
            method: one of ``QUICK_METHODS``.
            raw_path: of a request without a query.
            headers: with names in lower case.
        """


class QuickWrite(Protocol):
    """A write that a server with an event loop answers without Falcon: one commit, then the answer.

    Attributes:
        size: of its body; 0 if it has none.
        line: its line of the audit trail, if it has one; ``answer`` makes it.
    """

    size: int
    line: str | None

    def txn(self, value: bytes) -> Txn | None:
        """Return the transaction, given the whole body; ``None`` if Falcon answers."""

    def answer(self, outcome: Commit | Exception) -> AsgiAnswer:
        """Return the answer for the result or exception of the commit; write ``line`` before it."""

    def count(self) -> None:
        """Count the request; call it just before its answer is sent."""


class QuickWrites(Protocol):
    """Answers some writes without Falcon, and leaves all others to it. Any thread may call it."""

    def begin(
        self,
        method: str,
        raw_path: bytes,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        client: str,
    ) -> QuickWrite | None:
        """Return how to answer a write; ``None`` if Falcon answers it.

        Args:
            method: one of ``QUICK_WRITES``.
            raw_path: without the query.
            query: empty if there is none.
            headers: with names in lower case.
            client: the address of the client.
        """

    def record(self, lines: Sequence[str]) -> None:
        """Write lines to the audit trail, whose disk may be slow."""


class QuickMget(Protocol):
    """An mget that a server with an event loop answers without Falcon, given the whole body.

    Attributes:
        size: of its body.
    """

    size: int

    def answer(self, body: bytes) -> AsgiAnswer | None:
        """Return the answer, and count it; ``None`` if Falcon answers. Any thread may call it."""


QuickMgets = Callable[[bytes, Sequence[tuple[bytes, bytes]]], QuickMget | None]
"""Returns how to answer a POST with a path and headers; ``None`` if Falcon answers it."""


class CountRequest(Protocol):
    """See ``MeasuredApp.count``."""

    def __call__(
        self,
        environ: dict[str, object],
        kind: Kind,
        elapsed_ns: int,
        size: int,
        *,
        received_bytes: int = 0,
    ) -> None:
        """Count a request that was answered without Falcon."""
