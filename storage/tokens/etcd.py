"""The tokens of a store in etcd: one key, ``m/tokens``, so that all its servers share them.

Its value has the bytes that a folder keeps in a file (``format``).
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.errors import StoreError, Unavailable
from rundlet_server.storage.etcd.cluster.calls import TXN
from rundlet_server.storage.etcd.cluster.client import EtcdClient
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.cluster.requests import one, put, unchanged
from rundlet_server.storage.etcd.layout import Layout
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.views import first_of
from rundlet_server.storage.tokens.format import decode, encode
from rundlet_server.storage.tokens.interface import Scope, Token, TokenTable
from rundlet_server.storage.tokens.making import add_to, new_token, remove_from

_log: Final = logging.getLogger("rundlet.store")

_LOOK_S: Final = 1.0
_STALE_S: Final = 30.0
_ATTEMPTS: Final = 20

_Answer = TypeVar("_Answer")


class EtcdTokens:
    """The ``TokenStore`` of a store in etcd."""

    def __init__(
        self, address: StoreAddress, *, clock: Callable[[], int] = system_clock_us
    ) -> None:
        """Use the tokens of a store; nothing is connected yet.

        Raises:
            InvalidAddress: a part of the address cannot be used.
        """
        place = EtcdPlace.of(address)
        self._client = EtcdClient(place)
        self._key = Layout(place.name).meta + b"tokens"
        self._shown = Path(place.shown)
        self._clock = clock

    def read(self) -> list[Token]:
        """See ``TokenStore.read``.

        Raises:
            Unavailable: etcd does not answer.
        """
        return self._read()[0]

    def add(
        self, name: str, scope: Scope, *, prefix: str = "", expires_us: int | None = None
    ) -> tuple[Token, str]:
        """See ``TokenStore.add``."""
        token, secret = new_token(
            name, scope, prefix=prefix, expires_us=expires_us, now_us=self._clock()
        )
        self._change(lambda tokens: None if token in tokens else add_to(tokens, token))
        return token, secret

    def remove(self, name: str) -> Token | None:
        """See ``TokenStore.remove``; every server knows within a second."""
        return self._change(lambda tokens: remove_from(tokens, name))

    def watch(self) -> EtcdTokenWatch:
        """See ``TokenStore.watch``."""
        return EtcdTokenWatch(self.read)

    def close(self) -> None:
        """See ``TokenStore.close``."""
        self._client.close()

    def _read(self) -> tuple[list[Token], int]:
        """Return the tokens, and etcd's revision at which they were written; 0 if never."""
        kv = first_of(self._client.range(one(self._key)))
        if kv is None:
            return [], 0
        return decode(self._shown, kv.value), kv.mod_revision

    def _change(self, change: Callable[[list[Token]], _Answer]) -> _Answer:
        """Change the tokens; try again if others change them meanwhile, or if the answer is lost.

        If the change was applied although its answer was lost, the next attempt finds it done.
        """
        for _ in range(_ATTEMPTS):
            tokens, revision = self._read()
            before = list(tokens)
            answer = change(tokens)
            if tokens == before:
                return answer
            request = pb.TxnRequest(
                compare=[unchanged(self._key, revision)], success=[put(self._key, encode(tokens))]
            )
            if self._client.read(TXN, request).succeeded or self._read()[0] == tokens:
                return answer
        raise Unavailable("others changed the tokens all the time; try again")


class EtcdTokenWatch:
    """The ``TokenSource`` of a store in etcd: a change takes effect within a second or so.

    A thread looks every second, so that no request waits for etcd; it ends with this object.
    """

    def __init__(self, read: Callable[[], list[Token]]) -> None:
        """Read the tokens.

        Raises:
            DamagedTokens, UnknownFormat, Unavailable: they cannot be read.
        """
        self._read = read
        self._table = TokenTable(read())
        self._damage: StoreError | None = None
        self._read_s = time.monotonic()
        reference = weakref.ref(self)
        threading.Thread(
            target=_look_again, args=(reference,), name="rundlet-etcd-tokens", daemon=True
        ).start()

    def current(self) -> TokenTable:
        """See ``TokenSource.current``.

        Raises:
            Unavailable: etcd has not answered for half a minute.
        """
        if self._damage is not None:
            raise self._damage.with_traceback(None)
        if time.monotonic() - self._read_s > _STALE_S:
            raise Unavailable("the access tokens are in etcd, which does not answer")
        return self._table

    def look(self) -> None:
        """Read the tokens; if etcd does not answer, the last ones stay valid for ``_STALE_S``."""
        try:
            self._table = TokenTable(self._read())
        except Unavailable:
            return
        except StoreError as ex:
            self._damage = ex
        else:
            self._damage = None
            self._read_s = time.monotonic()


def _look_again(reference: weakref.ref[EtcdTokenWatch]) -> None:
    while True:
        time.sleep(_LOOK_S)
        watch = reference()
        if watch is None:
            return
        try:
            watch.look()
        except Exception:  # without this thread, all tokens would be refused soon
            _log.exception("the look at the access tokens failed unexpectedly")
        del watch
