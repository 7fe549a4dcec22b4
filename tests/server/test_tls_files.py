"""Test which certificates and keys are accepted, and what the errors say of the others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rundlet_server.server.errors import TlsError
from rundlet_server.server.listen.tls import TlsFiles, load_tls_files
from tests.support.processes.certificates import PrivateAuthority, openssl


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return PrivateAuthority(tmp_path_factory.mktemp("authority")).certificate("server")


# What OpenSSL takes and Granian's workers panic over, again and again.
REFUSED_KEYS = [
    "ec_paramgen_curve:secp521r1",
    "ec_paramgen_curve:secp256k1",
    "rsa_keygen_bits:4104",
]
TAKEN_KEYS = ["ec_paramgen_curve:prime256v1", "ec_paramgen_curve:secp384r1", "rsa_keygen_bits:2048"]


def self_signed(folder: Path, kind: str) -> tuple[Path, Path]:
    cert, key = folder / "self.pem", folder / "self.key"
    newkey = (
        ("-newkey", kind.partition("_")[0], "-pkeyopt", kind) if "_" in kind else ("-newkey", kind)
    )
    openssl(*("req", "-x509", *newkey, "-nodes", "-subj", "/CN=a", "-keyout", key, "-out", cert))
    return cert, key


@pytest.mark.parametrize("kind", [*REFUSED_KEYS, "ed448"])
def test_key_of_a_rare_kind_is_refused_with_advice(tmp_path: Path, kind: str):
    with pytest.raises(TlsError, match=r"P-256, P-384 or Ed25519"):
        load_tls_files(*self_signed(tmp_path, kind))


@pytest.mark.parametrize("kind", [*TAKEN_KEYS, "ed25519"])
def test_key_of_a_common_kind_is_taken(tmp_path: Path, kind: str):
    cert, key = self_signed(tmp_path, kind)

    assert load_tls_files(cert, key) == TlsFiles(cert, key)


def test_certificate_of_version_1_is_refused_with_advice(tmp_path: Path, pair: tuple[Path, Path]):
    request, cert = tmp_path / "csr", tmp_path / "v1.pem"
    openssl("req", "-new", "-key", pair[1], "-subj", "/CN=localhost", "-out", request)
    openssl("x509", "-req", "-in", request, "-signkey", pair[1], "-days", "2", "-out", cert)

    with pytest.raises(TlsError, match="version 3"):
        load_tls_files(cert, pair[1])


@pytest.mark.parametrize("years", [1, 100])
def test_certificate_that_has_expired_is_refused(tmp_path: Path, years: int):
    cert, key = tmp_path / "self.pem", tmp_path / "self.key"
    days = ("-days", str(365 * years))  # from 2050 on, the date is written in another way
    openssl("req", "-x509", *days, "-newkey", "ed25519", "-nodes", "-subj", "/CN=a",
            "-keyout", key, "-out", cert)  # fmt: skip
    end_s = time.time() + years * 365 * 86_400

    load_tls_files(cert, key, clock=lambda: end_s - 60)
    with pytest.raises(TlsError, match=r"expired on 2\d\d\d-\d\d-\d\d; renew it"):
        load_tls_files(cert, key, clock=lambda: end_s + 60)


def test_text_around_a_certificate_is_passed_over(tmp_path: Path, pair: tuple[Path, Path]):
    around = tmp_path / "around.pem"
    around.write_bytes(b"Bag Attributes: \xfc\r\n" + pair[0].read_bytes() + pair[1].read_bytes())

    assert load_tls_files(around, around) == TlsFiles(around, around)
