"""Test the cache, by cachelib's tests for every cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from cbor2 import CBOREncodeError

from tests.adapters.suites import run_suite, suite_of

pytest.importorskip("cachelib")

from rundlet import BadRequest, Client
from rundlet.adapters.cachelib import RundletCache

# A file of its own beside cachelib's tests, whose modules have names such as `common`.
PROGRAM = """
import os

import pytest
from clear import ClearTests
from common import CommonTests
from delete_many_with_prefix import DeleteManyWithPrefixTests
from has import HasTests
from serializer import SerializerTests

from rundlet.adapters.cachelib import RundletCache


@pytest.fixture(autouse=True)
def cache_factory(request):
    def make(self, *args, key_prefix="", **options):
        cache = RundletCache(os.environ["ADDRESS"] + "/" + key_prefix, *args, **options)
        cache.clear()
        return cache

    request.cls.cache_factory = make


class TestRundletCache(
    CommonTests, ClearTests, HasTests, DeleteManyWithPrefixTests, SerializerTests
):
    pass
"""


def test_cachelib_finds_every_test_passed(address: str, tmp_path: Path):
    tests = suite_of("cachelib") / "tests"
    (tmp_path / "xprocess.py").write_text("class ProcessStarter: pass\n")  # no server to start

    said = run_suite(PROGRAM, tests, tmp_path, address)

    assert "21 passed" in said


@pytest.mark.parametrize("codec", ["json", "cbor"])
def test_a_codec_takes_the_place_of_pickle(address: str, codec):
    cache = RundletCache(address, codec=codec)

    cache.set("k", {"a": [1, None, "é"]})

    assert cache.get("k") == {"a": [1, None, "é"]}
    with pytest.raises((TypeError, CBOREncodeError)):
        cache.set("object", object())


def test_a_cache_without_a_prefix_is_refused(server_url: str):
    with pytest.raises(BadRequest, match="write it as rundlet://HOST:PORT/PREFIX"):
        RundletCache("rundlet://127.0.0.1:8000")


@pytest.mark.parametrize("codec", [None, "json"])
def test_flask_session_keeps_sessions(address: str, client: Client, prefix: str, codec):
    flask = pytest.importorskip("flask")
    flask_session = pytest.importorskip("flask_session")
    app = flask.Flask("example")
    cache = RundletCache(address, codec=codec)
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=cache, SESSION_PERMANENT=True)
    flask_session.Session(app)

    @app.get("/")
    def count() -> str:
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return str(flask.session["visits"])

    visitor, other = app.test_client(), app.test_client()
    visits = [each.get("/").text for each in (visitor, visitor, other, visitor)]

    assert visits == ["1", "2", "1", "3"]
    infos = list(client.scan(prefix=prefix))
    assert len(infos) == 2
    assert all(info.expires is not None for info in infos)
