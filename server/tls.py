"""The certificate and the key that a server shows, checked before it starts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from server.errors import TlsError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate with its chain, and the private key to it, both PEM."""

    cert_path: Path
    key_path: Path


def load_tls_files(cert_path: Path, key_path: Path) -> TlsFiles:
    """The files, once it is sure that a server can use them.

    Raises:
        TlsError: a line that names the file and what to do.
    """
    for path in (cert_path, key_path):
        _require_readable(path)
    files = TlsFiles(cert_path, key_path)
    password = _NoPassword()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_path, key_path, password)
    except (ssl.SSLError, ValueError) as ex:
        raise TlsError(_advice(str(ex), files, is_encrypted=password.was_asked)) from ex
    return files


class _NoPassword:
    """Has no password for a key, and knows whether it was asked for one.

    Granian 2.8 takes a password, but its TLS library panics over keys that openssl encrypts today.
    """

    def __init__(self) -> None:
        self.was_asked = False

    def __call__(self) -> str:
        self.was_asked = True
        return ""


def _require_readable(path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as ex:
        raise TlsError(f"cannot read {path}: {ex.strerror or ex}") from ex


def _advice(reason: str, files: TlsFiles, *, is_encrypted: bool) -> str:
    if is_encrypted:
        return (
            f"{files.key_path} is under a password, which granian cannot open; take it off"
            " (openssl pkey -in KEY -out OTHER, readable to you alone), or put nginx in front"
        )
    if "mismatch" in reason.lower():
        return f"the key in {files.key_path} does not belong to the certificate {files.cert_path}"
    return (
        f"{files.cert_path} or {files.key_path} is no certificate or key that can be used"
        f" ({reason}); both are to be PEM files"
    )
