"""The address of a store: what each text means, and that no password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import InvalidAddress


@pytest.mark.parametrize(
    ("text", "scheme", "path"),
    [
        ("./data", "folder", Path("data")),
        ("/var/lib/rundlet", "folder", Path("/var/lib/rundlet")),
        ("data: of today", "folder", Path("data: of today")),
        ("./memory", "folder", Path("memory")),
        ("memory", "memory", None),
        ("file:words.txt", "file", Path("words.txt")),
        ("file:/srv/a b.txt", "file", Path("/srv/a b.txt")),
        ("etcd://h1:2379,h2:2379,h3:2379/NAME", "etcd", None),
        ("postgresql://me:secret@db.example.org:5432/kv", "postgresql", None),
        ("postgres:///kv?host=/run/postgresql", "postgresql", None),
    ],
)
def test_text_means_a_store(text, scheme, path):
    address = StoreAddress.parse(text)

    assert (address.scheme, address.path) == (scheme, path)
    assert address.folder == (path if scheme == "folder" else None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "file:", "file://words.txt", "etcd://", "etcd://h1", "etcd://h1/", "etcd:///NAME"),
        *("etcd://h1,,h2/NAME", "postgresql://", "redis://h1", "http://127.0.0.1:8000"),
    ],
)
def test_text_that_names_no_store_is_refused(text):
    with pytest.raises(InvalidAddress):
        StoreAddress.parse(text)


@pytest.mark.parametrize(
    "name", ["data", "memory", "file:x", "etcd://h1/NAME", "http://x", "/tmp/ü", "a=b"]
)
def test_folder_of_any_name_has_an_address_that_leads_back(name):
    address = StoreAddress.of_folder(Path(name))

    assert address.folder == Path(name)
    assert StoreAddress.parse(address.text).folder == Path(name)


def test_text_file_has_an_address_that_leads_back():
    address = StoreAddress.of_file(Path("my words.txt"))

    assert StoreAddress.parse(address.text) == address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:s3cret@db/kv", "postgresql://me:***@db/kv"),
        ("postgresql://me:s3c@ret@db/kv", "postgresql://me:***@db/kv"),
        ("postgresql://me:s3/c?r@et@db/kv", "postgresql://me:***@db/kv"),
        ("postgresql://me@db/kv?sslmode=verify-full", "postgresql://me@db/kv?sslmode=verify-full"),
        ("postgresql://db/kv?user=me&password=s3cret", "postgresql://db/kv?user=me&password=***"),
        ("etcd://root:s3cret@h1,h2/NAME", "etcd://root:***@h1,h2/NAME"),
        ("./me:s3cret@here", "./me:s3cret@here"),
    ],
)
def test_address_is_shown_without_its_password(text, shown):
    if text.startswith("."):
        assert StoreAddress.parse(text).shown.removeprefix("./") == shown.removeprefix("./")
    else:
        assert StoreAddress.parse(text).shown == shown


def test_refusal_does_not_tell_the_password():
    with pytest.raises(InvalidAddress) as caught:
        StoreAddress.parse("etcd://root:s3cret@h1")

    assert "s3cret" not in str(caught.value)
