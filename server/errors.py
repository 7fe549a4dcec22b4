"""Errors that keep a server from starting, beside those of the store and of the system.

    ServeError
    ├── ExposedError           any client that reaches the port could do anything
    ├── AuditError             the audit trail cannot be written
    ├── TlsError               the certificate or its key cannot be used
    └── GranianMissingError    the optional package is not installed

``listen.address.PortError`` is an ``OSError``.
"""

from __future__ import annotations


class ServeError(Exception):
    """The server did not start; the message says what to do."""


class ExposedError(ServeError):
    """The server would accept requests from other machines without an explicit request for it."""


class GranianMissingError(ServeError):
    """Granian is not installed."""


class TlsError(ServeError):
    """The certificate or its key cannot be used."""


class AuditError(ServeError):
    """The file for the audit trail cannot be opened."""
