"""Test that values go to and come from files piece by piece, with both clients."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet import (
    Client,
    ConnectionFailed,
    OutcomeUnknown,
    PreconditionFailed,
    TooLarge,
)
from rundlet_server.storage.interface import Limits
from tests.client.test_retries import BREAK_OFF, STORED, scripted
from tests.support.models.model import ModelStore
from tests.support.wire.served_model import served


@pytest.fixture
def client() -> Iterator[Client]:
    with served(ModelStore()) as url, Client(url) as client:
        yield client


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(os.urandom(1_000_000))
    return path


def test_a_file_is_stored_and_written_again(client, path: Path, tmp_path: Path):
    written = client.set_file("a/../b", path, ttl=60, meta={"of": "Ada"})

    info = client.get_file("a/../b", tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == path.read_bytes()
    assert (info.size, info.content_type, info.meta) == (1_000_000, "image/png", {"of": "Ada"})
    assert (info.revision, info.etag) == (written.revision, written.etag)
    assert info.expires is not None
    assert client.get("a/../b").data == path.read_bytes()


def test_an_open_file_is_stored_whole(client, path: Path):
    with path.open("rb") as file:
        file.read(10)
        client.set_file("k", file)

    assert client.get("k").data == path.read_bytes()
    assert client.get("k").content_type == "image/png"


def test_an_empty_file_and_one_of_no_known_ending_are_values(client, tmp_path: Path):
    (tmp_path / "empty").touch()

    client.set_file("k", tmp_path / "empty")

    assert client.get("k").content_type == "application/octet-stream"
    assert client.get_file("k", tmp_path / "copy").size == 0
    assert (tmp_path / "copy").read_bytes() == b""


def test_a_file_meets_conditions(client, path: Path):
    etag = client.set_file("k", path, if_absent=True).etag

    with pytest.raises(PreconditionFailed):
        client.set_file("k", path, if_absent=True)
    client.set_file("k", path, if_match=etag)
    with pytest.raises(PreconditionFailed):
        client.set_file("k", path, if_match=etag)

    assert client.get("k").version == 2


def test_an_earlier_value_can_be_written(client, tmp_path: Path):
    client.set("k", "first")
    client.set("k", "second")

    client.get_file("k", tmp_path / "copy", version=1)

    assert (tmp_path / "copy").read_text() == "first"


def test_link_stays_and_the_file_behind_it_is_replaced_with_its_mode(client, tmp_path: Path):
    client.set("k", "v")
    secret, link = tmp_path / "secret", tmp_path / "link"
    secret.touch(mode=0o600)
    link.symlink_to(secret)

    client.get_file("k", link)

    assert link.is_symlink()
    assert secret.read_text() == "v"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_pipe_is_written_to_and_not_replaced(client, tmp_path: Path):
    client.set("k", "v")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    client.get_file("k", pipe)

    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.read(reader, 10) == b"v"
    os.close(reader)


def test_name_as_long_as_the_system_allows_is_a_file(client, tmp_path: Path):
    client.set("k", "v")
    path = tmp_path / ("é" * 127)

    client.get_file("k", path)

    assert path.read_text() == "v"


def test_a_file_stays_if_there_is_no_value(client, path: Path):
    before = path.read_bytes()

    assert client.get_file("none", path) is None

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_file_stays_if_the_answer_breaks_off(path: Path):
    before = path.read_bytes()
    part = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nKV-Revision: 1\r\nKV-Version: 1\r\n\r\nhalf"

    with (
        scripted(part) as server,
        Client(server.url, retries=0) as client,
        pytest.raises(ConnectionFailed),
    ):
        client.get_file("k", path)

    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_file_is_sent_again_from_its_start(path: Path):
    path.write_bytes(b"all of it")
    refused = b"HTTP/1.1 503 x\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"

    with scripted(refused, STORED) as server, Client(server.url) as client:
        assert client.set_file("k", path).revision == 7

    assert [request.endswith(b"\r\n\r\nall of it") for request in server.requests] == [True, True]


def test_a_file_whose_answer_is_lost_is_of_unknown_outcome(path: Path):
    path.write_bytes(b"all of it")

    with (
        scripted(BREAK_OFF) as server,
        Client(server.url) as client,
        pytest.raises(OutcomeUnknown),
    ):
        client.set_file("k", path)


def test_a_file_that_is_too_large_is_refused(path: Path):
    limits = Limits(value_bytes_max=999_999)
    with served(ModelStore(limits=limits)) as url, Client(url) as client:
        with pytest.raises(TooLarge):
            client.set_file("k", path)

        assert client.get("k") is None


def test_a_path_that_cannot_be_read_or_written_is_an_error_of_the_system(client, tmp_path: Path):
    client.set("k", "v")

    with pytest.raises(FileNotFoundError):
        client.set_file("k", tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        client.get_file("k", tmp_path / "none/copy")

    assert client.get("k").text == "v"
