"""Test TLS with certificates of a private authority, from the server to both clients."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from rundlet import BadRequest, Client, ConnectionFailed, OutcomeUnknown
from rundlet.schemes import certificate_advice, reason_of
from rundlet.sending import transport
from tests.support import PATIENCE_S
from tests.support.processes.certificates import PrivateAuthority
from tests.support.processes.servers import RundletServer

pytest.importorskip("granian")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> PrivateAuthority:
    return PrivateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: PrivateAuthority) -> tuple[Path, Path]:
    return authority.certificate("server")


class TlsServer(RundletServer):
    """A server whose certificate the HTTP client of the tests knows."""

    def __init__(self, folder: Path, authority: PrivateAuthority, *options: str | Path) -> None:
        options = ("--data", folder / "data", "--server", "granian", *options)
        super().__init__(*options, stderr_path=folder / "log")
        self.context = ssl.create_default_context(cafile=authority.ca_path)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, authority: PrivateAuthority, pair: tuple[Path, Path]
) -> Iterator[TlsServer]:
    options = ["--tls-cert", pair[0], "--tls-key", pair[1], "--workers", "2"]
    folder = tmp_path_factory.mktemp("server")
    with TlsServer(folder, authority, *options, "--body-timeout", "2s") as server:
        yield server


def port_of(server: RundletServer) -> int:
    return int(server.url.rpartition(":")[2])


def connect(server: TlsServer) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port_of(server)), timeout=PATIENCE_S)
    return server.context.wrap_socket(plain, server_hostname="localhost")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rundlet_server", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def refused(tmp_path: Path, *options: str | Path) -> str:
    """The one line of a server that does not start."""
    ended = run("serve", "--port", "0", "--data", tmp_path / "data", *options)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert not (tmp_path / "data").exists()
    return ended.stderr


def test_address_is_printed_as_https(server: TlsServer):
    assert server.url.startswith("https://127.0.0.1:")


def test_python_client_trusts_the_authority_it_is_told(
    server: TlsServer, authority: PrivateAuthority
):
    with Client(server.url, ca_file=authority.ca_path) as client:
        client.set("greeting", "hello")

        assert client.get_bytes("greeting") == b"hello"


def test_python_client_reads_the_environment(
    server: TlsServer, authority: PrivateAuthority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_path))

    with Client(server.url) as client:
        assert client.get("nothing") is None


@pytest.fixture(scope="module", params=["waitress", "granian"])
def plain(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    folder = tmp_path_factory.mktemp(request.param)
    options = ["--data", folder / "data", "--server", request.param]
    with RundletServer(*options, stderr_path=folder / "log") as server:
        yield server


COMMANDS = ["get a", "set a 1", "ls", "doctor", "top --every 0.1 --count 1", "bench --operations 1"]


@pytest.mark.parametrize("command", COMMANDS)
def test_https_to_a_server_without_tls_is_explained(plain: RundletServer, command: str):
    url = plain.url.replace("http://", "https://")

    ended = run(*command.split(), "--url", url)

    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert f"{url} answers plain HTTP: use {plain.url}" in said
    assert "SSL" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", COMMANDS)
def test_http_to_a_server_with_tls_is_explained(server: TlsServer, command: str):
    url = server.url.replace("https://", "http://")

    ended = run(*command.split(), "--url", url)

    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert f"{url} answers HTTPS only: use {server.url}" in said
    assert "illegal" not in said
    assert "may or may not" not in said


def test_client_that_had_answers_does_not_ask_for_the_scheme(
    plain: RundletServer, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []
    monkeypatch.setattr(transport, "scheme_advice", lambda url, _: asked.append(url))
    with Client(plain.url, retries=0) as client:
        client.set("a", "1")
        monkeypatch.setattr(client._transport._connections, "send", broken)

        with pytest.raises(OutcomeUnknown):
            client.set("a", "2")

    assert asked == []


def broken(*_: object, **__: object) -> NoReturn:
    raise httpx.ReadError("reset")


def test_unknown_authority_is_refused_with_advice(server: TlsServer):
    with Client(server.url, retries=0) as client, pytest.raises(ConnectionFailed, match="ca_file"):
        client.get("greeting")


@pytest.mark.parametrize("command", ["get k", "doctor", "top --count 1"])
def test_certificate_of_other_names_is_no_matter_of_the_authority(
    server: TlsServer, authority: PrivateAuthority, command: str
):
    url = server.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")

    ended = run(*command.split(), "--url", url, "--ca-file", authority.ca_path)

    said = ended.stdout + ended.stderr
    assert ended.returncode == 4
    assert "use a name that the certificate has" in said
    assert "--ca-file" not in said
    assert "_ssl" not in said


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("certificate verify failed: certificate has expired (_ssl.c:1006)", "renew it"),
        ("certificate verify failed: certificate is not yet valid (_ssl.c:1006)", "the clocks"),
        ("certificate verify failed: self-signed certificate (_ssl.c:1006)", "the authority"),
    ],
)
def test_each_reason_against_a_certificate_has_its_advice(reason: str, advice: str):
    refused = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] {reason}")

    told = certificate_advice(refused, "name the authority")

    assert told is not None
    assert advice in told
    assert reason_of(refused) == reason.removesuffix(" (_ssl.c:1006)")
    assert certificate_advice(ConnectionRefusedError(111, "refused"), "name it") is None


def test_file_that_holds_no_authority_is_refused(server: TlsServer, tmp_path: Path):
    (tmp_path / "empty").touch()

    for path in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(BadRequest, match=path.name):
            Client(server.url, ca_file=path)


def test_command_line_trusts_the_authority_it_is_told(
    server: TlsServer, authority: PrivateAuthority
):
    before = run("--ca-file", authority.ca_path, "--url", server.url, "set", "cli", "1")
    behind = run("get", "cli", "--url", server.url, f"--ca-file={authority.ca_path}")
    without = run("get", "cli", "--url", server.url)

    assert before.returncode == 0, before.stderr
    assert (behind.returncode, behind.stdout.strip()) == (0, "1")
    assert without.returncode == 4
    assert "--ca-file" in without.stderr


@pytest.mark.parametrize("command", [("doctor",), ("top", "--every", "0.1", "--count", "1")])
def test_commands_about_the_server_trust_it_too(
    server: TlsServer, authority: PrivateAuthority, command: tuple[str, ...]
):
    trusting = run(*command, "--url", server.url, "--ca-file", authority.ca_path)
    without = run(*command, "--url", server.url)

    assert trusting.returncode == 0, trusting.stdout + trusting.stderr
    assert without.returncode != 0
    assert "--ca-file" in without.stdout + without.stderr


@pytest.mark.parametrize(
    ("version", "is_spoken"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")  # that old ones fail is the point
def test_tls_is_1_2_or_newer(server: TlsServer, version: ssl.TLSVersion, is_spoken: bool):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version

    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=PATIENCE_S) as plain:
        try:
            context.wrap_socket(plain).close()
        except (ssl.SSLError, ConnectionError):
            assert not is_spoken
        else:
            assert is_spoken


def test_http_2_is_not_offered(server: TlsServer):
    server.context.set_alpn_protocols(["h2", "http/1.1"])

    with connect(server) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_connection_that_sends_half_a_body_is_closed_over_tls_too(server: TlsServer):
    with connect(server) as connection:
        connection.sendall(b"PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nha")

        with contextlib.suppress(ssl.SSLError, ConnectionError):  # it need not be ended politely
            assert connection.recv(1_000) == b""


def test_key_under_a_password_is_refused_with_advice(
    tmp_path: Path, authority: PrivateAuthority, pair: tuple[Path, Path]
):
    key = authority.encrypted(pair[1], "not a secret")

    line = refused(tmp_path, "--tls-cert", pair[0], "--tls-key", key, "--server", "granian")

    assert "openssl pkey" in line


def test_unusable_files_are_told_before_anything_starts(
    tmp_path: Path, authority: PrivateAuthority, pair: tuple[Path, Path]
):
    other = authority.certificate("other")
    junk = tmp_path / "junk"
    junk.write_text("no certificate")
    granian = ("--server", "granian")

    assert "belong together" in refused(tmp_path, "--tls-cert", pair[0], *granian)
    assert "granian" in refused(tmp_path, "--tls-cert", pair[0], "--tls-key", pair[1])
    mismatch = refused(tmp_path, "--tls-cert", pair[0], "--tls-key", other[1], *granian)
    assert "does not belong to" in mismatch
    assert "PEM" in refused(tmp_path, "--tls-cert", junk, "--tls-key", pair[1], *granian)
    missing = refused(tmp_path, "--tls-cert", tmp_path / "none", "--tls-key", pair[1], *granian)
    assert "cannot read" in missing
