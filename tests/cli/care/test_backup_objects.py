"""Test backups in an object store: ``rclone serve s3`` over a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.processes.command_line import Ended, run_process
from tests.support.processes.servers import free_port, is_open, wait_for
from tests.support.programs import program

pytest.importorskip("obstore", reason="the extra 'objects' is not installed")
KEY, SECRET = "key", "secret-of-a-test"


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of commands that may use the bucket ``bucket`` of a running server."""
    (tmp_path / "objects" / "bucket").mkdir(parents=True)
    port = free_port()
    command = [program("rclone"), "serve", "s3", "--auth-key", f"{KEY},{SECRET}"]
    command += [
        "--addr",
        f"127.0.0.1:{port}",
        "--config",
        str(tmp_path / "none"),
        "--vfs-cache-mode",
    ]
    server = subprocess.Popen(
        [*command, "off", str(tmp_path / "objects")],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: is_open(port))
        yield {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
    finally:
        server.kill()
        server.wait()


def test_a_store_is_backed_up_to_a_bucket_and_restored(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    url, data = "s3://bucket/of/backups", str(tmp_path / "data")

    def run(*arguments: str) -> Ended:
        ended = run_process(*arguments, **environ)
        assert ended.code == 0, ended.err
        return ended

    store = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
    store.close()
    run("set", "a", "one", "--data", data)
    first = json.loads(run("backup", url, "--data", data, "--json").text)
    run("set", "a", "two", "--data", data)
    second = json.loads(run("backup", url, "--data", data, "--json").text)
    assert 0 < second["bytes_new"] < first["bytes_total"]

    assert run("verify", "--backup", url).text.startswith("all is well: 2 backups")
    run("restore", url, "--to", str(tmp_path / "new"), "--to-revision", "1")
    assert run("get", "a", "--data", str(tmp_path / "new")).out == b"one"
    run("backup", url, "--data", data, "--prune", "--keep", "1")
    assert len(run("backup", url, "--list", "--json").text.splitlines()) == 1
    run("restore", url, "--to", str(tmp_path / "newest"))
    assert run("get", "a", "--data", str(tmp_path / "newest")).out == b"two"


def test_wrong_keys_are_not_allowed(tmp_path: Path, environ: dict[str, str]) -> None:
    refused = {**environ, "AWS_SECRET_ACCESS_KEY": "another"}

    ended = run_process("backup", "s3://bucket/of/backups", "--list", **refused)

    assert ended.code == 6, ended.err
    assert ended.err.count("\n") == 1


def test_an_address_that_is_none_is_a_mistake() -> None:
    ended = run_process("backup", "other://bucket", "--list")

    assert ended.code == 2, ended.err
