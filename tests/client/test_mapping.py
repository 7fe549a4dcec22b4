"""Test ``Client.mapping``, by CPython's tests of mappings and by its own."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from rundlet import Client, StoreMapping
from tests.support.models.model import ModelStore
from tests.support.wire.served_model import served

mapping_tests = pytest.importorskip(
    "test.mapping_tests", reason="this Python comes without its own tests"
)


@pytest.fixture(scope="module")
def shared_url() -> Iterator[str]:
    with served(ModelStore()) as url:
        yield url


@pytest.fixture
def client(shared_url: str) -> Iterator[Client]:
    with Client(shared_url) as client:
        yield client


_PREFIXES = (f"m{number}/" for number in count())


@pytest.fixture
def numbers(client: Client) -> StoreMapping[object]:
    return client.mapping(next(_PREFIXES), codec="json")


class TestOfPython(mapping_tests.BasicTestMappingProtocol):
    """All tests that CPython has for every mapping, with values that JSON can say."""

    client: Client

    @pytest.fixture(autouse=True)
    def mapping_of_client(self, client: Client) -> None:
        type(self).client = client

    def type2test(self, pairs: object = ()) -> StoreMapping[object]:
        made = self.client.mapping(next(_PREFIXES), codec="json")
        made.update(pairs)
        return made

    def _reference(self) -> dict[str, object]:
        return {"1": "2", "key1": "value1", "key2": [1, 2, 3]}


def test_keys_are_those_with_the_prefix(client: Client):
    client.set_many({"p/b": "2", "p/a": "1", "p": "x", "q": "y"})

    mapping = client.mapping("p/")

    assert list(mapping) == ["a", "b"]
    assert dict(mapping) == {"a": "1", "b": "2"}
    assert list(reversed(mapping)) == ["b", "a"]
    assert list(mapping.items()) == [("a", "1"), ("b", "2")]
    assert list(reversed(mapping.items())) == [("b", "2"), ("a", "1")]
    assert list(reversed(mapping.values())) == ["2", "1"]
    assert len(mapping) == 2
    mapping.clear()
    assert not mapping
    assert client.mget(["p", "q", "p/a"])[2] is None
    assert client.exists("p")


def test_a_mapping_of_all_keys_can_be_cleared():
    with served(ModelStore()) as url, Client(url) as client:
        mapping = client.mapping()
        mapping.update({f"k{number:04}": "v" for number in range(2_500)})
        assert len(mapping) == 2_500
        assert "" not in mapping
        mapping.clear()
        assert len(mapping) == 0


@pytest.mark.parametrize(
    ("codec", "value", "content_type"),
    [
        ("text", "é\n", "text/plain; charset=utf-8"),
        ("bytes", b"\x00\xff", "application/octet-stream"),
        ("json", {"a": [1, None, "é"]}, "application/json"),
        ("cbor", {1: b"\xff", "t": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)},
         "application/cbor"),
    ],
)  # fmt: skip
def test_codecs_bring_values_back(client: Client, codec, value, content_type):
    prefix = next(_PREFIXES)
    mapping = client.mapping(prefix, codec=codec)

    mapping["k"] = value
    mapping.update({"many": value})
    assert mapping.setdefault("default", value) == value

    assert [mapping[key] for key in ("k", "many", "default")] == [value] * 3
    assert {info.content_type for info in client.scan(prefix=prefix)} == {content_type}


def test_a_codec_of_the_program_is_used(client: Client):
    class Upper:
        content_type = "text/x-upper"

        def encode(self, value: str) -> bytes:
            return value.upper().encode()

        def decode(self, data: bytes) -> str:
            return data.decode().lower()

    mapping = client.mapping(prefix := next(_PREFIXES), codec=Upper())
    mapping["k"] = "abc"

    assert client.get_bytes(prefix + "k") == b"ABC"
    assert mapping["k"] == "abc"


@pytest.mark.parametrize("value", [math.nan, object(), {1, 2}])
def test_a_value_that_has_no_bytes_is_refused(numbers: StoreMapping[object], value: object):
    with pytest.raises((ValueError, TypeError)):
        numbers["k"] = value

    assert "k" not in numbers


def test_a_key_that_is_no_text_is_not_there(numbers: StoreMapping[object]):
    assert 1 not in numbers
    assert numbers.get(1) is None
    with pytest.raises(TypeError, match="keys are text, got int"):
        numbers[1] = "v"
    with pytest.raises(KeyError):
        del numbers[1]


def test_only_one_of_many_pops_and_sets_a_default(client: Client):
    mapping = client.mapping(next(_PREFIXES), codec="json")
    mapping.update({str(number): number for number in range(40)})

    with ThreadPoolExecutor(8) as pool:
        popped = list(pool.map(lambda _: mapping.popitem()[1], range(40)))
        defaults = set(pool.map(lambda number: mapping.setdefault("k", number), range(40)))

    assert sorted(popped) == list(range(40))
    assert len(defaults) == 1
    with pytest.raises(KeyError):
        mapping.pop("none")
    assert mapping.pop("none", default=None) is None
    mapping.clear()
    with pytest.raises(KeyError):
        mapping.popitem()


def test_a_mapping_says_what_it_is(client: Client):
    assert repr(client.mapping("p/")) == f"<StoreMapping of 'p/' at {client.url}, TextCodec>"
