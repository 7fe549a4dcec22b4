"""Read the fields of a certificate that decide whether Granian's TLS library accepts it.

OpenSSL, which has already loaded the file at this point, accepts more than rustls does: old
versions of X.509, and rare curves. With these, a Granian worker panics each time it starts. Neither
library can check a file for this beforehand, so this module reads the few relevant fields.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from typing import Final, NamedTuple

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION_TAG: Final = 0xA0
_VERSION_3: Final = b"\x02\x01\x02"
_UTC_TIME_TAG: Final = 0x17
_SIZE_IS_LONG: Final = 0x80

# Object identifiers in their encoded form.
_RSA: Final = bytes.fromhex("2a864886f70d010101")
_ELLIPTIC: Final = bytes.fromhex("2a8648ce3d0201")
_ED25519: Final = bytes.fromhex("2b6570")
_CURVES: Final = {bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2b81040022")}  # P-256, P-384
_RSA_BITS_MAX: Final = 4_096


class Certificate(NamedTuple):
    """Some fields of a certificate.

    Attributes:
        is_version_3: of X.509; older versions have no extensions, and so no host names.
        expires: the last moment at which the certificate is valid.
        has_common_key: the key is of a kind that every TLS library supports: RSA up to 4,096
            bits, P-256, P-384, Ed25519.
    """

    is_version_3: bool
    expires: datetime
    has_common_key: bool


def read_certificate(pem: str) -> Certificate:
    """Read the first certificate in the text of a PEM file that OpenSSL accepts.

    Raises:
        ValueError: there is no certificate, or its encoding is not the usual one.
    """
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("the file contains no certificate")
    try:
        return _certificate(ssl.PEM_cert_to_DER_cert(found[0]))
    except IndexError as ex:
        raise ValueError("the certificate is incomplete") from ex


def _certificate(der: bytes) -> Certificate:
    """Parse RFC 5280, 4.1: version, serial number, signature, issuer, validity, subject, key."""
    fields = _items(_items(_items(der)[0][1])[0][1])
    tag, version = fields[0]
    has_version = tag == _VERSION_TAG  # if it is absent, the certificate has version 1
    validity, key = (fields[number + has_version][1] for number in (3, 5))
    return Certificate(
        is_version_3=has_version and version == _VERSION_3,
        expires=_moment(*_items(validity)[1]),
        has_common_key=_is_common(key),
    )


def _is_common(key: bytes) -> bool:
    (_, algorithm), (_, bits) = _items(key)
    kind, *parameters = (content for _, content in _items(algorithm))
    if kind == _RSA:
        modulus = _items(_items(bits[1:])[0][1])[0][1]  # the first byte counts unused bits
        return int.from_bytes(modulus).bit_length() <= _RSA_BITS_MAX
    return kind == _ED25519 or (kind == _ELLIPTIC and parameters[0] in _CURVES)


def _moment(tag: int, content: bytes) -> datetime:
    """Parse a time; UTCTime has a year of two digits, which up to 49 means this century."""
    text = content.decode("ascii")
    if tag == _UTC_TIME_TAG:
        text = ("20" if text < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _items(der: bytes) -> list[tuple[int, bytes]]:
    """Split consecutive DER items; return the tag and the content of each."""
    items = []
    at = 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & _SIZE_IS_LONG:
            digits = size - _SIZE_IS_LONG
            size = int.from_bytes(der[at : at + digits])
            at += digits
        items.append((tag, der[at : at + size]))
        at += size
    return items
