"""What keeps a server from starting, beside the errors of the store and of the system.

    ServeError
    ├── ExposedError           everybody who can reach the port could do everything
    ├── TlsError               the certificate or its key cannot be used
    └── GranianMissingError    the optional package is not installed

``address.PortError`` is an ``OSError``.
"""

from __future__ import annotations


class ServeError(Exception):
    """The server was not started; the message says what to do."""


class ExposedError(ServeError):
    """Listening beyond this machine was not asked for explicitly."""


class GranianMissingError(ServeError):
    """Granian is not installed."""


class TlsError(ServeError):
    """The certificate or its key cannot be used."""
