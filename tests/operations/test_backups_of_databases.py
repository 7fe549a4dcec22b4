"""The commands with which docs/backup.md has the databases back up a store, and restore it."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.interface import Delete, Store
from rundlet_server.storage.opening import open_store
from rundlet_server.storage.tokens.opening import open_tokens
from tests.support import ROOT
from tests.support.backends import do, kinds, put, value
from tests.support.postgres import postgres_server
from tests.support.processes.etcd import EtcdNode, quick_options
from tests.support.programs import program

PAGE: Final = ROOT / "docs/backup.md"


def documented(start: str, **given: str) -> list[str]:
    """Return a command of the page as arguments; each option that is given has another value."""
    text = PAGE.read_text().replace("\\\n", " ")
    [line] = re.findall(rf"^    ({re.escape(start)}.*)$", text, re.MULTILINE)
    command = shlex.split(line)
    for old, new in given.items():
        [place] = [n for n, part in enumerate(command) if part.startswith(f"--{old}=")]
        command[place] = f"--{old}={new}"
    return command


def run(command: list[str], folder: Path) -> str:
    command[0] = program(command[0])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


@contextmanager
def opened(address: str) -> Iterator[Store]:
    with closing(open_store(StoreAddress.parse(address))) as store:
        yield store


def fill(address: str) -> None:
    """Store values with history, and a token."""
    with opened(address) as store:
        for number in range(3):
            put(store, "a", b"%d" % number)
        put(store, "b", b"deleted")
        do(store, Delete("b"))
    tokens = open_tokens(StoreAddress.parse(address), None)
    assert tokens is not None
    tokens.add("app", "read")


def check(address: str) -> None:
    """Require what ``fill`` has stored, and go on."""
    with opened(address) as store:
        assert value(store, "a") == b"2"
        assert kinds(store, "a") == ["put"] * 3
        assert kinds(store, "b") == ["delete", "put"]
        assert store.stats().key_count == 1
        head = store.stats().revision
        assert put(store, "a", b"after").revision > head
        assert [event.key for event in store.changes(head).events] == ["a"]
    tokens = open_tokens(StoreAddress.parse(address), None)
    assert tokens is not None
    assert [token.name for token in tokens.read()] == ["app"]


def test_a_snapshot_of_etcd_restores_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("ETCDCTL_API", "3")
    old, new = (EtcdNode(tmp_path, name) for name in ("old", "n1"))
    try:
        old.start(*quick_options())
        old.wait_until_healthy()
        fill(f"etcd://{old.endpoint}/kv")
        save = documented("etcdctl --endpoints=", endpoints=old.endpoint)
        run(save, tmp_path)
        assert run(documented("etcdctl snapshot status"), tmp_path)
        old.kill()

        restore = documented(
            "etcdctl snapshot restore",
            **{
                "data-dir": str(tmp_path / "n1/data"),
                "name": "n1",
                "initial-advertise-peer-urls": new.peer_url,
                "initial-cluster": f"n1={new.peer_url}",
            },
        )
        run(restore, tmp_path)
        new.start(*quick_options())
        new.wait_until_healthy()

        check(f"etcd://{new.endpoint}/kv")
    finally:
        old.kill()
        new.kill()


def test_a_dump_of_postgresql_restores_the_store(tmp_path):
    server = postgres_server()
    address = server.url()
    database, _, schema = address.partition("?schema=")
    restored = f"{database.rpartition('/')[0]}/{schema}"
    fill(address)

    dump = documented("pg_dump --format", schema=schema)
    run([str(server.programs / dump[0]), *dump[1:-1], database], tmp_path)
    server.execute(f"CREATE DATABASE {schema}")
    restore = documented("pg_restore", dbname=restored)
    run([str(server.programs / restore[0]), *restore[1:]], tmp_path)

    check(f"{restored}?schema={schema}")
    with opened(address) as store:
        assert value(store, "a") == b"2"
