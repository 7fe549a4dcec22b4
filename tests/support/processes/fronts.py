"""Proxies before servers, with the sample configurations of ``deploy/``."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.support import PATIENCE_S, ROOT
from tests.support.configurations import adapted
from tests.support.processes.certificates import PrivateAuthority
from tests.support.processes.servers import free_port, is_open, wait_for
from tests.support.programs import program

NGINX: Final = ROOT / "deploy/nginx.conf"
HAPROXY: Final = ROOT / "deploy/haproxy.cfg"
_AROUND: Final = """
{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off; gzip on; gzip_proxied any; gzip_types *;
    client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {configuration}
}}
"""


class Answer(NamedTuple):
    """An answer, with its header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Front:
    """A proxy, asked over TLS, byte for byte."""

    def __init__(self, port: int, ca_path: Path) -> None:
        self.port = port
        self.ca_path = ca_path
        self.context = ssl.create_default_context(cafile=ca_path)

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        with self.asked(method, target, body, **headers) as answer:
            found = {name.lower(): text for name, text in answer.getheaders()}
            return Answer(answer.status, found, answer.read())

    @contextlib.contextmanager
    def asked(
        self, method: str, target: str, body: bytes | None = None, **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        """Ask; the body of the answer is not read yet."""
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=PATIENCE_S, context=self.context
        )
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        try:
            connection.request(method, target, body=body, headers=named)
            yield connection.getresponse()
        finally:
            connection.close()


@contextlib.contextmanager
def nginx(
    urls: Sequence[str], folder: Path, changes: Mapping[str, str] | None = None
) -> Iterator[Front]:
    """Run nginx before servers, with the sample configuration and changes to it."""
    authority = PrivateAuthority(folder)
    cert, key = authority.certificate("kv")
    port = free_port()
    configuration = adapted(
        NGINX.read_text(),
        {
            "server 127.0.0.1:8000;": " ".join(
                f"server {_address(url)} fail_timeout=1s;" for url in urls
            ),
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/ssl/certs/kv.example.org.pem": str(cert),
            "/etc/ssl/private/kv.example.org.key": str(key),
            **(changes or {}),
        },
    )
    user = "" if os.getuid() else "user root;"  # else it would take another, who may not write here
    path = folder / "nginx.conf"
    path.write_text(_AROUND.format(folder=folder, configuration=configuration, user=user))
    command = [program("nginx"), "-c", str(path), "-p", str(folder)]
    with _running(command, port, folder):
        yield Front(port, authority.ca_path)


@contextlib.contextmanager
def haproxy(
    urls: Sequence[str], folder: Path, changes: Mapping[str, str] | None = None
) -> Iterator[Front]:
    """Run HAProxy before servers, with the sample configuration and changes to it."""
    authority = PrivateAuthority(folder)
    cert, key = authority.certificate("kv")
    both = folder / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    port = free_port()
    lines = "\n".join(f"    server number{n} {_address(url)}" for n, url in enumerate(urls))
    configuration = adapted(
        HAPROXY.read_text(),
        {
            "    server one 127.0.0.1:8000": lines,
            "bind :443": f"bind 127.0.0.1:{port}",
            "/etc/haproxy/certs/kv.example.org.pem": str(both),
            **(changes or {}),
        },
    )
    path = folder / "haproxy.cfg"
    path.write_text(configuration)
    with _running([program("haproxy"), "-db", "-f", str(path)], port, folder):
        yield Front(port, authority.ca_path)


FRONTS: Final = {"nginx": nginx, "haproxy": haproxy}


@contextlib.contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: process.poll() is not None or is_open(port))
        assert process.poll() is None, (folder / "stderr").read_text()
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _address(url: str) -> str:
    return re.sub(r"^http://", "", url)
