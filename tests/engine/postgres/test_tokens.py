"""Tokens that a store in PostgreSQL keeps: all servers of the store share them."""

from __future__ import annotations

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import InvalidRequest, Unavailable
from rundlet_server.storage.tokens import postgres
from rundlet_server.storage.tokens.opening import open_tokens


@pytest.fixture
def address(url):
    return StoreAddress.parse(url)


def test_token_is_found_by_its_secret_and_listed_without_it(address):
    tokens = open_tokens(address)
    token, secret = tokens.add("app", "write", prefix="ä/")

    assert open_tokens(address).read() == [token]
    assert tokens.watch().current().find(secret) == token
    assert secret not in repr(tokens.read())


def test_name_is_taken_once(address):
    tokens = open_tokens(address)
    tokens.add("app", "read")

    with pytest.raises(InvalidRequest, match="already a token named 'app'"):
        tokens.add("app", "admin")
    assert [token.scope for token in tokens.read()] == ["read"]


def test_token_is_revoked_by_name_or_id(address):
    tokens = open_tokens(address)
    first, _ = tokens.add("a", "read")
    second, _ = tokens.add("b", "read")

    assert tokens.remove("a") == first
    assert tokens.remove(second.token_id) == second
    assert tokens.remove("c") is None
    assert tokens.read() == []


def test_change_by_another_process_is_in_force_after_a_second(address):
    now_s = 0.0
    watch = postgres.PostgresTokenWatch(postgres.PostgresTokens(address), clock=lambda: now_s)
    _, secret = open_tokens(address).add("app", "read")

    assert watch.current().find(secret) is None
    now_s += postgres.LOOK_S
    assert watch.current().find(secret) is not None
    open_tokens(address).remove("app")
    assert watch.current().find(secret) is not None
    now_s += postgres.LOOK_S
    assert watch.current().find(secret) is None


def test_no_request_is_admitted_if_the_tokens_cannot_be_read(address, server, url):
    now_s = 0.0
    watch = postgres.PostgresTokenWatch(postgres.PostgresTokens(address), clock=lambda: now_s)
    server.execute(f"DROP SCHEMA {url.partition('schema=')[2]} CASCADE")
    now_s += postgres.LOOK_S

    for _ in range(2):
        with pytest.raises(Unavailable):
            watch.current()


def test_tokens_that_are_closed_leave_no_connection(address):
    tokens = open_tokens(address)
    tokens.close()

    with pytest.raises(Unavailable):
        tokens.read()
    assert not tokens._connections._lifeline._thread.is_alive()
