"""The certificate and the key of a server, checked before it starts."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rundlet_server.server.errors import TlsError
from rundlet_server.server.listen.certificate import Certificate, read_certificate


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate with its chain, and its private key, both as PEM files."""

    cert_path: Path
    key_path: Path


def load_tls_files(
    cert_path: Path, key_path: Path, *, clock: Callable[[], float] = time.time
) -> TlsFiles:
    """Check that a server can use the files, and return them.

    Args:
        cert_path: the certificate with its chain.
        key_path: its private key.
        clock: returns seconds since 1970.

    Raises:
        TlsError: a server cannot use them; the message names the file and says what to do.
    """
    cert, _ = (_text(path) for path in (cert_path, key_path))
    files = TlsFiles(cert_path, key_path)
    password = _NoPassword()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_path, key_path, password)
    except (ssl.SSLError, ValueError) as ex:
        raise TlsError(_advice(str(ex), files, is_encrypted=password.was_asked)) from ex
    try:
        _require_usable(read_certificate(cert), cert_path, clock())
    except ValueError as ex:
        raise TlsError(_advice(str(ex), files, is_encrypted=False)) from ex
    return files


class _NoPassword:
    """Gives OpenSSL no password for a key, and records whether OpenSSL asked for one.

    Granian 2.8 accepts a password, but its TLS library panics on keys that current versions of
    openssl encrypt.
    """

    def __init__(self) -> None:
        self.was_asked = False

    def __call__(self) -> str:
        self.was_asked = True
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text("latin-1")  # PEM is ASCII, but other bytes may surround it
    except OSError as ex:
        raise TlsError(
            f"cannot read {path}: {ex.strerror or ex};"
            " give the path of a PEM file that this user may read"
        ) from ex


def _require_usable(certificate: Certificate, path: Path, now_s: float) -> None:
    """Reject a certificate that OpenSSL accepts but Granian or every client rejects."""
    if not certificate.is_version_3:
        raise TlsError(
            f"{path} is an X.509 certificate of version 1, which cannot name a host; create one of"
            " version 3 (openssl req -x509 -addext subjectAltName=DNS:NAME)"
        )
    if not certificate.has_common_key:
        raise TlsError(
            f"{path} has a key of a kind that granian does not support; use RSA up to 4096 bits,"
            " P-256, P-384 or Ed25519, or put nginx in front"
        )
    if certificate.expires.timestamp() < now_s:
        raise TlsError(f"{path} expired on {certificate.expires:%Y-%m-%d}; renew it")


def _advice(reason: str, files: TlsFiles, *, is_encrypted: bool) -> str:
    if is_encrypted:
        return (
            f"{files.key_path} is encrypted with a password, and granian cannot read it; write it"
            " without a password (openssl pkey -in KEY -out OTHER, readable only by you), or put"
            " nginx in front"
        )
    if "mismatch" in reason.lower():
        return (
            f"the key in {files.key_path} does not belong to the certificate {files.cert_path};"
            " give the key that the certificate was made for"
        )
    return (
        f"cannot use {files.cert_path} with {files.key_path} ({reason}); give a certificate and"
        " its private key, both as PEM files"
    )
