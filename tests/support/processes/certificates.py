"""Make certificates with ``openssl`` when a test needs them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.programs import program


class PrivateAuthority:
    """A certificate authority that no other program trusts.

    Attributes:
        ca_path: the file with its certificate.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca_path = folder / "ca.pem"
        self._ca_key_path = folder / "ca.key"
        openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=Rundlet tests", "-addext", "keyUsage=critical,keyCertSign"),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-keyout", self._ca_key_path, "-out", self.ca_path),
        )

    def certificate(self, name: str) -> tuple[Path, Path]:
        """Make a certificate for this machine and its key."""
        cert, key, request = (self._folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
            *("-keyout", key, "-out", request),
        )
        extensions = self._folder / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl(
            *("x509", "-req", "-in", request, "-days", "2", "-out", cert, "-CAcreateserial"),
            *("-CA", self.ca_path, "-CAkey", self._ca_key_path, "-extfile", extensions),
        )
        return cert, key

    def encrypted(self, key: Path, password: str) -> Path:
        """Encrypt a key with a password."""
        encrypted = key.with_suffix(".encrypted")
        openssl("pkcs8", "-topk8", "-in", key, "-out", encrypted, "-passout", f"pass:{password}")
        return encrypted


def openssl(*arguments: str | Path) -> None:
    subprocess.run([program("openssl"), *map(str, arguments)], check=True, capture_output=True)
