"""What a certificate says that Granian's TLS library is particular about.

OpenSSL, which has taken the file by then, uses more than rustls does: old versions, curves that
are rarely asked for. A Granian worker panics over those, again and again. Neither library tells
beforehand, so the few fields that matter are read here.
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

# Object identifiers, as they are encoded.
_RSA: Final = bytes.fromhex("2a864886f70d010101")
_ELLIPTIC: Final = bytes.fromhex("2a8648ce3d0201")
_ED25519: Final = bytes.fromhex("2b6570")
_CURVES: Final = {bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2b81040022")}  # P-256, P-384
_RSA_BITS_MAX: Final = 4_096


class Certificate(NamedTuple):
    """Some of what a certificate says.

    Attributes:
        is_version_3: of X.509; the older ones have no extensions, and so no names.
        expires: the last moment it is good for.
        has_common_key: of a kind that every TLS library has: RSA up to 4,096 bits, P-256, P-384,
            Ed25519.
    """

    is_version_3: bool
    expires: datetime
    has_common_key: bool


def read_certificate(pem: str) -> Certificate:
    """The first certificate in a file that OpenSSL takes for PEM.

    Raises:
        ValueError: there is none, or it is encoded in a way of its own.
    """
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("there is no certificate in it")
    try:
        return _certificate(ssl.PEM_cert_to_DER_cert(found[0]))
    except IndexError as ex:
        raise ValueError("it breaks off") from ex


def _certificate(der: bytes) -> Certificate:
    """RFC 5280, section 4.1: version, serial number, signature, issuer, validity, subject, key."""
    fields = _items(_items(_items(der)[0][1])[0][1])
    tag, version = fields[0]
    has_version = tag == _VERSION_TAG  # left out: the first
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
        modulus = _items(_items(bits[1:])[0][1])[0][1]  # behind a byte that counts unused bits
        return int.from_bytes(modulus).bit_length() <= _RSA_BITS_MAX
    return kind == _ED25519 or (kind == _ELLIPTIC and parameters[0] in _CURVES)


def _moment(tag: int, content: bytes) -> datetime:
    """UTCTime has two digits for the year, up to 49 those of this century."""
    text = content.decode("ascii")
    if tag == _UTC_TIME_TAG:
        text = ("20" if text < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _items(der: bytes) -> list[tuple[int, bytes]]:
    """The items that stand one after another: tag and content of each."""
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
