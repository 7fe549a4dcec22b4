"""Backups in an object store: S3, Google Cloud Storage, Azure, and compatible ones.

The library is obstore, the extra ``objects``. It takes keys and addresses from the environment as
the tools of each store do: ``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``GOOGLE_…``, ``AZURE_…``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.storage.errors import Unavailable

try:
    import obstore
    from obstore import exceptions
    from obstore.store import from_url
except ImportError as ex:
    message = "an object store needs the extra 'objects': pip install 'rundlet[objects]'"
    raise CommandError(message, ExitCode.USAGE) from ex

_Answer = TypeVar("_Answer")


class ObjectPlace:
    """The objects below a URL; see ``BackupPlace``. A written object is durable at once."""

    def __init__(self, url: str) -> None:
        """Open the store of a URL, without sending a request.

        Raises:
            CommandError: the URL, or the configuration in the environment, is invalid.
        """
        self._url = url.rstrip("/")
        try:
            self._store = from_url(url)
        except (exceptions.BaseError, ValueError) as ex:
            message = f"{url} cannot be used as an object store: {_first_line(ex)}"
            raise CommandError(message, ExitCode.USAGE) from ex

    def __str__(self) -> str:
        return self._url

    def sizes(self) -> Mapping[str, int]:
        """See ``BackupPlace.sizes``."""
        lots = self._asked(lambda: list(obstore.list(self._store)))
        return {meta["path"]: meta["size"] for lot in lots for meta in lot}

    def read(self, name: str, start: int, size: int) -> bytes:
        """See ``BackupPlace.read``."""
        if not size:
            return b""
        if start == 0:  # servers answer a range that is the whole object in two ways
            return self._asked(lambda: bytes(obstore.get(self._store, name).bytes()))[:size]
        return self._asked(
            lambda: bytes(obstore.get_range(self._store, name, start=start, length=size))
        )

    def write(self, name: str, data: bytes) -> None:
        """See ``BackupPlace.write``."""
        self._asked(lambda: obstore.put(self._store, name, data))

    def publish(self, name: str, data: bytes) -> None:
        """See ``BackupPlace.publish``."""
        self.write(name, data)

    def remove(self, name: str) -> None:
        """See ``BackupPlace.remove``."""
        try:
            self._asked(lambda: obstore.delete(self._store, name))
        except FileNotFoundError:
            return

    def sync(self) -> None:
        """See ``BackupPlace.sync``."""

    def _asked(self, ask: Callable[[], _Answer]) -> _Answer:
        """Send a request to the store.

        Raises:
            FileNotFoundError: there is no such object.
            CommandError: the store refuses the keys.
            Unavailable: any other error; obstore has already retried.
        """
        with self._explained():
            return ask()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (exceptions.BaseError, OSError) as ex:
            if _is_refusal(ex):
                message = f"{self._url} refuses the keys in the environment: {_first_line(ex)}"
                raise CommandError(message, ExitCode.NOT_ALLOWED) from ex
            raise Unavailable(f"{self._url} does not answer: {_first_line(ex)}") from ex


def _is_refusal(ex: Exception) -> bool:
    """Return whether keys are refused; for a list, obstore reports it only in the text."""
    kinds = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
    return isinstance(ex, kinds) or "403 Forbidden" in str(ex)


def _first_line(ex: Exception) -> str:
    return str(ex).partition("\n")[0]
