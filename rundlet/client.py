"""The client for threads."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from rundlet.methods.files import FileMethods
from rundlet.methods.many import ManyMethods
from rundlet.methods.past import PastMethods
from rundlet.methods.server import ServerMethods
from rundlet.methods.transfers import TransferMethods
from rundlet.methods.values import ValueMethods
from rundlet.methods.waiting import WaitingMethods
from rundlet.model import DEFAULT_URL
from rundlet.sending.origin import Origin, Settings
from rundlet.sending.transport import Transport

if TYPE_CHECKING:
    from rundlet.mappings.codecs import Codec, CodecName
    from rundlet.mappings.mapping import StoreMapping

T = TypeVar("T")


class Client(
    ValueMethods,
    ManyMethods,
    FileMethods,
    TransferMethods,
    WaitingMethods,
    PastMethods,
    ServerMethods,
):
    """A connection to a Rundlet server; may be used by many threads, and as a context manager.

    A forked process may use its parent's client, which opens new connections there.

    Every method raises ``ConnectionFailed``, ``Unavailable``, ``Unauthorized``, ``Forbidden``
    and ``ServerError`` of ``rundlet.errors``; writes also raise ``OutcomeUnknown``. A key may be
    any text that is not empty: if proxies would rewrite a key, the client sends it as base64url.

    Args:
        url: address of the server, ``http://HOST:PORT``, with a path if a proxy needs one.
        token: sent as ``Authorization: Bearer``.
        timeout_s: for connecting, and for each pause in an answer.
        retries: how often to send a request again, if that cannot apply it twice.
        ca_file: PEM file of the authority that signed the server's certificate; by default
            ``SSL_CERT_FILE``, or the authorities that httpx trusts.
        idempotent_retries: send a write again even if its answer is lost. Each write then has an
            ``Idempotency-Key``, with which the server applies it only once. By default the server
            remembers keys for a day.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
        retries: int = 3,
        ca_file: str | PathLike[str] | None = None,
        idempotent_retries: bool = False,
    ) -> None:
        self._origin = Origin(url, Settings(token, timeout_s, retries, ca_file, idempotent_retries))
        self._transport = Transport(self._origin)

    @overload
    def mapping(
        self, prefix: str = "", *, codec: Literal["text"] = "text"
    ) -> StoreMapping[str]: ...
    @overload
    def mapping(self, prefix: str = "", *, codec: Literal["bytes"]) -> StoreMapping[bytes]: ...
    @overload
    def mapping(self, prefix: str = "", *, codec: Literal["json", "cbor"]) -> StoreMapping[Any]: ...
    @overload
    def mapping(self, prefix: str = "", *, codec: Codec[T]) -> StoreMapping[T]: ...
    def mapping(
        self, prefix: str = "", *, codec: CodecName | Codec[Any] = "text"
    ) -> StoreMapping[Any]:
        """Return the keys with a prefix as a ``MutableMapping``.

        Args:
            prefix: begins each key in the store; keys of the mapping do not include it.
            codec: the type of the values: ``text``, ``bytes``, ``json`` or ``cbor``; or an object
                that encodes and decodes values.
        """
        from rundlet.mappings.codecs import CODECS  # noqa: PLC0415 - few programs need it
        from rundlet.mappings.mapping import StoreMapping  # noqa: PLC0415 - see above

        if isinstance(codec, str):
            return StoreMapping(self._transport, prefix, CODECS[codec])
        return StoreMapping(self._transport, prefix, codec)

    def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
