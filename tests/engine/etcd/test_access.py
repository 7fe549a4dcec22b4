"""Clusters that only some may use: user and password, TLS, certificates of clients."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import InvalidAddress, StoreError, Unavailable
from rundlet_server.storage.etcd.cluster import client
from rundlet_server.storage.opening import open_store
from tests.support.backends import put, value
from tests.support.processes.certificates import PrivateAuthority
from tests.support.processes.etcd import EtcdNode, quick_options
from tests.support.processes.servers import is_open, wait_for
from tests.support.programs import program


@pytest.fixture
def locked(own_node: EtcdNode) -> EtcdNode:
    """A node with the users ``root``, ``me`` (keys of Rundlet's) and ``other`` (no keys)."""
    for command in (
        "user add root:r00t",
        "user add me:s3cret",
        "user add other:s3cret",
        "role add rundlet",
        "role grant-permission rundlet --prefix=true readwrite rundlet/",
        "user grant-role me rundlet",
        "user grant-role root root",
        "auth enable",
    ):
        etcdctl(own_node, *command.split())
    return own_node


def change_password(node: EtcdNode, password: str) -> None:
    etcdctl(
        node, *["--user", "root:r00t", "user", "passwd", "me", "--interactive=false"], text=password
    )


def etcdctl(node: EtcdNode, *arguments: str, text: str = "") -> None:
    subprocess.run(
        [program("etcdctl"), "--endpoints", node.endpoint, *arguments],
        env=os.environ | {"ETCDCTL_API": "3"},
        input=text.encode(),
        check=True,
        capture_output=True,
    )


def test_a_user_reads_and_writes(locked):
    store = open_store(StoreAddress.parse(f"etcd://me:s3cret@{locked.endpoint}/NAME"))
    put(store, "a", b"1")

    assert value(store, "a") == b"1"
    assert store.changes(0).events[0].key == "a"
    assert store.gauges()
    assert store.health().reasons == []
    store.close()


def test_a_login_that_has_ended_is_renewed(locked):
    store = open_store(StoreAddress.parse(f"etcd://me:s3cret@{locked.endpoint}/NAME"))
    put(store, "a", b"1")
    store._client._login = "made.up"

    assert value(store, "a") == b"1"
    store._client._login = "made.up"
    put(store, "a", b"2")
    assert store.get("a").version == 2
    store.close()


@pytest.mark.parametrize("login", ["me:wr0ng@", "none:s3cret@"])
def test_a_wrong_password_is_told_without_it(locked, login):
    with pytest.raises(InvalidAddress, match="refuses the user") as caught:
        open_store(StoreAddress.parse(f"etcd://{login}{locked.endpoint}/NAME"))
    assert "wr0ng" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_password_that_is_changed_makes_the_store_unavailable(locked):
    store = open_store(StoreAddress.parse(f"etcd://me:s3cret@{locked.endpoint}/NAME"))
    put(store, "a", b"1")
    change_password(locked, "0ther")

    for use in (store.stats, lambda: put(store, "a", b"2")):
        with pytest.raises(Unavailable, match="refuses the user 'me'") as caught:
            use()
        assert "s3cret" not in str(caught.value)
    assert "refuses the user" in store.health().reasons[0]
    change_password(locked, "s3cret")
    put(store, "a", b"2")
    assert store.get("a").version == 2
    store.close()


@pytest.mark.parametrize("login", ["", "other:s3cret@"])
def test_a_user_without_permission_is_refused(locked, login):
    with pytest.raises(Unavailable, match="refuses"):
        open_store(StoreAddress.parse(f"etcd://{login}{locked.endpoint}/NAME"))


@pytest.fixture
def authority(tmp_path: Path) -> PrivateAuthority:
    return PrivateAuthority(tmp_path)


@pytest.fixture
def tls_node(tmp_path: Path, authority: PrivateAuthority) -> Iterator[EtcdNode]:
    """A node that speaks TLS with clients that have a certificate of the authority."""
    cert, key = authority.certificate("server")
    node = EtcdNode(tmp_path, scheme="https")
    node.start(
        *quick_options(),
        *("--cert-file", str(cert), "--key-file", str(key)),
        *("--client-cert-auth", "--trusted-ca-file", str(authority.ca_path)),
    )
    try:
        wait_for(lambda: is_open(int(node.endpoint.rpartition(":")[2])))
        yield node
    finally:
        node.kill()


def test_tls_with_a_certificate_of_the_client(tls_node, authority, monkeypatch):
    cert, key = authority.certificate("client")
    place = f"{tls_node.endpoint}/NAME?ca={authority.ca_path}"
    store = open_store(StoreAddress.parse(f"etcds://{place}&cert={cert}&key={key}"))
    put(store, "a", b"1")

    assert value(store, "a") == b"1"
    store.close()
    monkeypatch.setattr(client, "PATIENCE_S", 0.5)
    for address in (
        f"etcds://{place}",
        f"etcds://{tls_node.endpoint}/NAME",
        f"etcd://{tls_node.endpoint}/NAME",
    ):
        with pytest.raises(StoreError):
            open_store(StoreAddress.parse(address))
