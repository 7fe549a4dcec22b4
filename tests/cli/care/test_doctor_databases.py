"""``rundlet doctor --store``: what it finds in a database, and what it advises."""

from __future__ import annotations

import json

import pytest

from rundlet_server.cli.doctor import databases
from rundlet_server.cli.doctor.findings import Level
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.opening import open_store
from tests.support.backends import put
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.processes.command_line import run
from tests.support.processes.etcd import EtcdNode, quick_options, shared_etcd, store_name
from tests.support.processes.servers import free_port


def found(address: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """Return the exit code, and the findings by name."""
    ended = run("doctor", "--store", address, "--json")
    by_name: dict[str, list[dict[str, str]]] = {}
    for each in json.loads(ended.out)["findings"]:
        by_name.setdefault(each["name"], []).append(each)
    return ended.code, by_name


def made(address: str) -> str:
    store = open_store(StoreAddress.parse(address))
    put(store, "a", b"1")
    store.close()
    return address


def test_a_store_in_etcd_is_well(tmp_path):
    address = made(f"etcd://{shared_etcd()}/{store_name(tmp_path)}")

    code, by_name = found(address)

    assert code == 0
    assert by_name["store"][0]["seen"].startswith("1 keys, revisions 0 to 1")
    assert by_name["rights"][0]["level"] == Level.GOOD
    assert by_name["secrecy"][0]["seen"] == "not encrypted, on this machine only"
    assert "three or five" in by_name["nodes"][0]["advice"]
    assert run("doctor", "--store", address).code == 0


def test_a_node_that_is_away_is_named(tmp_path):
    away = f"127.0.0.1:{free_port()}"
    address = made(f"etcd://{shared_etcd()}/{store_name(tmp_path)}")

    code, by_name = found(address.replace("etcd://", f"etcd://{away},"))

    assert code == 4
    [bad] = [node for node in by_name["node"] if node["level"] == Level.BAD]
    assert away in bad["advice"]
    assert by_name["store"][0]["level"] == Level.GOOD


def test_a_full_quota_is_an_alarm(tmp_path):
    node = EtcdNode(tmp_path)
    node.start(*quick_options(), "--quota-backend-bytes", "1")
    try:
        node.wait_until_healthy()
        run("set", "a", "1", "--store", f"etcd://{node.endpoint}/full")  # raises the alarm

        code, by_name = found(f"etcd://{node.endpoint}/full")

        assert code == 4
        assert "NOSPACE" in by_name["node"][0]["seen"]
        assert "alarm disarm" in by_name["node"][0]["advice"]
    finally:
        node.kill()


@pytest.mark.parametrize(
    ("version", "is_old"),
    [("3.4.23", True), ("3.4.37", False), ("3.5.9", True), ("3.5.16", False), ("3.6.0", False),
     ("3.3.1", True), ("3.6.0-rc.1", False)],
)  # fmt: skip
def test_old_versions_of_etcd_are_known(version, is_old):
    assert databases._is_old(version) == is_old


def test_a_store_in_postgresql_is_well_but_for_settings_that_lose_writes():
    address = made(postgres_server().url())

    code, by_name = found(address)

    assert code == 0
    assert by_name["database"][0]["level"] == Level.GOOD
    assert "fsync = off" in by_name["durability"][0]["seen"]
    assert "set both on" in by_name["durability"][0]["advice"]
    assert by_name["rights"][0]["level"] == Level.GOOD
    assert by_name["store"][0]["seen"].startswith("1 keys, revisions 0 to 1")


def test_a_database_as_delivered_is_durable():
    server = PostgresServer("max_connections=20")
    try:
        _, by_name = found(made(server.url()))
    finally:
        server.stop()

    assert by_name["durability"][0]["level"] == Level.GOOD
    assert "synchronous_commit = on" in by_name["durability"][0]["seen"]


def test_a_user_without_rights_is_told():
    server = postgres_server()
    address = made(server.url())
    schema = address.partition("schema=")[2]
    server.execute(f"CREATE USER {schema}")
    server.execute(f"GRANT USAGE ON SCHEMA {schema} TO {schema}")
    server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}")

    code, by_name = found(address.replace("://me@", f"://{schema}@"))

    assert code == 6
    assert "own the tables" in by_name["rights"][0]["advice"]


@pytest.mark.parametrize("scheme", ["etcd", "postgresql"])
def test_a_database_that_is_away_is_told_without_its_password(scheme):
    ended = run("doctor", "--store", f"{scheme}://me:s3cret@127.0.0.1:{free_port()}/kv")

    assert ended.code == 4
    assert "s3cret" not in ended.text + ended.err


def test_a_store_that_is_missing_is_told():
    code, by_name = found(postgres_server().url())

    assert code == 4
    assert "a server creates a store that is missing" in by_name["store"][0]["advice"]
