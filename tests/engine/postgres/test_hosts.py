"""An address with several hosts: the one that takes writes is found, whatever the others do."""

from __future__ import annotations

import socket

import psycopg
import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.postgres.failover import hosts
from rundlet_server.storage.postgres.failover.hosts import Hosts
from rundlet_server.storage.postgres.place import Place
from tests.support.backends import put, value
from tests.support.processes.servers import free_port


def both(url: str, server_port: int, other_port: int) -> str:
    """Return an address with another host first."""
    return url.replace(
        f"127.0.0.1:{server_port}", f"127.0.0.1:{other_port},127.0.0.1:{server_port}"
    )


def test_host_that_never_answers_holds_up_nothing(server, url, open_store):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = open_store(both(url, server.port, silent.getsockname()[1]))

        put(store, "a", b"1")
        assert value(store, "a") == b"1"


def test_of_two_hosts_that_take_writes_the_newer_primary_is_used(server, url, monkeypatch):
    conninfo = Place.of(StoreAddress.parse(both(url, server.port, server.port))).conninfo
    newer = [each.replace("rundlet", "newer") for each in Hosts(conninfo)._each[:1]]
    older = Hosts(conninfo)._each[1:]
    monkeypatch.setattr(
        hosts,
        "timeline_of",
        lambda link: f"1/000{1 + (link.info.get_parameters()['application_name'] == 'newer')}",
    )
    found = Hosts(conninfo)
    for order in ([*newer, *older], [*older, *newer]):
        found._each = order
        assert found.primary() == newer[0]


def test_no_host_that_takes_writes_is_an_error_that_names_each(server, url):
    closed = free_port()
    address = both(url, server.port, closed).replace(f":{server.port}", f":{closed}")

    with pytest.raises(psycopg.OperationalError, match=r"refused.*refused"):
        Hosts(Place.of(StoreAddress.parse(address)).conninfo).primary()


def test_plus_in_an_option_is_no_space():
    place = Place.of(StoreAddress.parse("postgresql://me@h/db?options=-c%20a%3Db+c&schema=x"))

    assert "b+c" in place.conninfo
    assert place.schema == "x"
