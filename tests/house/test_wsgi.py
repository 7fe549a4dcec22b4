"""The installed application under other WSGI servers, which may fork."""

from __future__ import annotations

import subprocess

import httpx
import pytest

from tests.support import PATIENCE_S
from tests.support.processes.environments import Environment
from tests.support.processes.servers import ServerProcess, children_of, free_port


def wsgi_command(environment: Environment, port: int) -> list[str]:
    listen = f"--listen=127.0.0.1:{port}"
    return [
        str(environment.bin / "python"),
        "-P",
        "-m",
        "waitress",
        listen,
        "rundlet_server.wsgi:app",
    ]


@pytest.mark.usefixtures("hostile")
def test_any_wsgi_server_serves_the_app(server_environment, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNDLET_DATA", str(tmp_path / "data"))
    port = free_port()
    command = wsgi_command(server_environment, port)

    with ServerProcess(command, stderr_path=tmp_path / "stderr") as process:
        process.wait_for_line("INFO:waitress:Serving on")
        url = f"http://127.0.0.1:{port}/v1/kv/greeting"
        assert httpx.put(url, content=b"hello").status_code == 201
        assert httpx.get(url).content == b"hello"
        assert children_of(process.process.pid) == []
    assert (tmp_path / "data/MANIFEST").exists()


@pytest.mark.usefixtures("hostile")
def test_wrong_setting_keeps_a_wsgi_server_from_starting(server_environment, monkeypatch):
    monkeypatch.setenv("RUNDLET_SYNC", "sometimes")
    command = wsgi_command(server_environment, free_port())

    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    assert "RUNDLET_SYNC is 'sometimes'; write always" in ended.stdout + ended.stderr


FORKING = """
import io, os, sys
from rundlet_server import wsgi
from rundlet_server.functions import app

opened_by = []
def counted(get_app=app.get_app):
    opened_by.append(os.getpid())
    return get_app()
wsgi.get_app = counted

def call(method, body=b""):
    said = []
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": "/v1/kv/greeting", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr, "HTTP_HOST": "localhost", "REQUEST_URI": "/v1/kv/greeting",
    }
    answer = b"".join(wsgi.app(environ, lambda status, headers, *_: said.append(status)))
    return said[0].split()[0], answer

assert wsgi.app is wsgi.app
assert call("PUT", b"parent")[0] == "201"
child = os.fork()
if child == 0:
    assert call("GET") == ("200", b"parent")
    assert call("PUT", b"child")[0] == "204"
    assert opened_by == [os.getppid(), os.getpid()], opened_by
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert call("GET") == ("200", b"child")
assert opened_by == [os.getpid()]
print("well")
"""


@pytest.mark.usefixtures("hostile")
def test_forked_process_opens_its_own_store(server_environment, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNDLET_DATA", str(tmp_path / "data"))

    ended = server_environment.run("python", "-W", "ignore", "-P", "-c", FORKING)

    assert (ended.stdout, ended.stderr) == ("well\n", "")


@pytest.mark.usefixtures("hostile")
def test_import_of_the_wsgi_module_opens_no_store(server_environment, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNDLET_DATA", str(tmp_path / "data"))

    ended = server_environment.run("python", "-P", "-c", "import rundlet_server.wsgi")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert not (tmp_path / "data").exists()
