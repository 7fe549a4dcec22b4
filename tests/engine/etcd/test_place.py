"""The address of a store in etcd: what its parts mean, and that no password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import InvalidAddress
from rundlet_server.storage.etcd.cluster.client import EtcdClient
from rundlet_server.storage.etcd.cluster.place import EtcdPlace, TlsPaths


def place(text: str) -> EtcdPlace:
    return EtcdPlace.of(StoreAddress.parse(text))


def test_endpoints_have_a_default_port():
    found = place("etcd://h1:23,h2,[::1]:24,[::2]/my-store_1.x")

    assert found.endpoints == ("h1:23", "h2:2379", "[::1]:24", "[::2]:2379")
    assert found.name == "my-store_1.x"
    assert (found.tls, found.user, found.password) == (None, None, None)


def test_user_and_password_are_percent_decoded():
    found = place("etcd://me%40here:s3%2Fcr%3Aet@h1/NAME")

    assert (found.user, found.password) == ("me@here", "s3/cr:et")
    assert found.shown == "etcd://me%40here:***@h1/NAME"


def test_tls_has_files():
    assert place("etcds://h1/NAME").tls == TlsPaths(None, None, None)
    found = place("etcds://h1/NAME?ca=/etc/ca.pem&cert=c.pem&key=k.pem")
    assert found.tls == TlsPaths(Path("/etc/ca.pem"), Path("c.pem"), Path("k.pem"))


@pytest.mark.parametrize(
    "rest",
    [
        *("h1/a/b", "h1/é", "h1/.x", "h1:x/NAME", "h1:99999/NAME", ":1/NAME"),
        *("h1/NAME?ca=x", "h1/NAME?nonsense=1"),
    ],
)
def test_what_means_nothing_is_refused_without_the_password(rest):
    with pytest.raises(InvalidAddress) as caught:
        place(f"etcd://me:s3cret@{rest}")
    assert "s3cret" not in str(caught.value)


def test_certificate_and_key_belong_together():
    with pytest.raises(InvalidAddress, match="belong together"):
        place("etcds://h1/NAME?cert=x")


def test_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(InvalidAddress, match="No such file"):
        EtcdClient(place(f"etcds://h1/NAME?ca={tmp_path / 'none'}"))
