"""Access tokens in etcd: all servers of the store share them."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import InvalidRequest, Unavailable
from rundlet_server.storage.tokens import etcd as etcd_tokens
from rundlet_server.storage.tokens.etcd import EtcdTokenWatch
from rundlet_server.storage.tokens.interface import Token
from rundlet_server.storage.tokens.opening import open_tokens
from tests.support.processes.servers import wait_for


def test_tokens_are_kept_without_a_store(address):
    tokens = open_tokens(address)

    token, secret = tokens.add("app", "write", prefix="app/")

    assert open_tokens(address).read() == [token]
    assert tokens.watch().current().find(secret) == token
    assert secret.encode() not in token.digest


def test_a_name_is_taken_once(address):
    tokens = open_tokens(address)
    tokens.add("app", "read")

    with pytest.raises(InvalidRequest, match="already a token"):
        open_tokens(address).add("app", "read")
    assert len(tokens.read()) == 1


def test_a_change_is_in_force_on_every_server(address):
    tokens, watch = open_tokens(address), open_tokens(address).watch()
    assert watch.current().tokens == []

    token, _ = tokens.add("app", "read")
    wait_for(lambda: watch.current().tokens == [token])
    assert tokens.remove(token.token_id) == token
    wait_for(lambda: watch.current().tokens == [])
    assert tokens.remove("app") is None


def test_tokens_are_no_keys_of_the_store(address, store):
    open_tokens(address).add("app", "read")

    assert (store.count(), store.scan().keys, store.changes(0).events) == (0, [], [])


def test_tokens_are_read_again_after_an_unexpected_failure(monkeypatch, caplog):
    monkeypatch.setattr(etcd_tokens, "_LOOK_S", 0.01)
    looks = []

    def read() -> list[Token]:
        looks.append("looked")
        if len(looks) == 2:
            raise ValueError("a bug")
        return []

    watch = EtcdTokenWatch(read)

    wait_for(lambda: len(looks) > 2)
    assert watch.current().find("a token") is None
    assert "the look at the access tokens failed unexpectedly" in caplog.text


def test_tokens_that_are_closed_leave_no_connection(address):
    tokens = open_tokens(address)
    tokens.add("app", "read")
    tokens.close()

    with pytest.raises(Unavailable, match="closed"):
        tokens.read()
