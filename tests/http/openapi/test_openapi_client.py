"""A client that ``openapi-python-client`` generates from the document works."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest

from rundlet_server.functions.openapi import openapi_document
from rundlet_server.storage.interface import Limits
from tests.support import ROOT
from tests.support.processes.servers import RundletServer
from tests.support.programs import missing

GENERATOR = ROOT / ".tools" / "openapi-python-client" / "bin" / "openapi-python-client"
PACKAGE = "generated_rundlet_client"
HAS_GRANIAN = importlib.util.find_spec("granian") is not None
SERVERS = [
    "waitress",
    pytest.param("granian", marks=pytest.mark.skipif(not HAS_GRANIAN, reason="not installed")),
]


class Generated:
    """The modules of the generated package, and a client of it."""

    def __init__(self, url: str) -> None:
        self.client = self.module("client").Client(url)
        self.models = self.module("models")

    def file(self, value: bytes) -> object:
        """A value as the body of a request."""
        return self.module("types").File(payload=BytesIO(value))

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"{PACKAGE}.{name}")

    def call(self, operation: str, *args: object, **options: object):
        """Call an operation, named by its tag and id."""
        call = self.module(f"api.{operation}").sync_detailed
        return call(*args, client=self.client, **options)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The generated package, on the path of imports."""
    if not GENERATOR.exists():
        missing("openapi-python-client is not installed (scripts/install-openapi-generator)")
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    document.write_text(json.dumps(openapi_document("1.2.3", Limits())))
    command = [GENERATOR, "generate", "--path", document, "--meta", "none"]
    subprocess.run([*command, "--output-path", folder / PACKAGE], check=True, timeout=120)
    sys.path.insert(0, str(folder))
    yield folder / PACKAGE
    sys.path.remove(str(folder))


@pytest.fixture(scope="module", params=SERVERS)
def generated(
    request: pytest.FixtureRequest, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Generated]:
    folder = tmp_path_factory.mktemp("server")
    arguments = ["--server", request.param, "--port", "0", "--data", folder / "data"]
    with RundletServer(*arguments, stderr_path=folder / "stderr") as server:
        generated = Generated(server.url)
        yield generated
        generated.client.get_httpx_client().close()
        server.stop()


def test_generated_client_has_every_operation(generated: Generated):
    paths = openapi_document("1.2.3", Limits())["paths"]
    operations = [op for item in paths.values() for op in item.values() if "operationId" in op]

    assert len(operations) > 20
    for operation in operations:
        assert generated.module(f"api.{operation['tags'][0]}.{operation['operationId']}").sync


def test_generated_client_puts_and_gets_a_value(generated: Generated):
    put, key = "values.put_kv", "a/b é"
    first = generated.call(put, key, body=generated.file(b"1"), ttl=0.00005)
    second = generated.call(put, key, body=generated.file(b"2"))
    third = generated.call(
        put, key, body=generated.file(b"\x00\xff"), if_match=second.headers["ETag"]
    )
    stale = generated.call(put, key, body=generated.file(b"4"), if_match=first.headers["ETag"])

    found = generated.call("values.get_kv", key)

    assert [first.status_code, third.status_code, stale.status_code] == [201, 204, 412]
    assert stale.parsed.detail
    assert found.parsed.payload.read() == b"\x00\xff"
    assert generated.call("values.delete_kv", key).status_code == 204
    assert generated.call("values.get_kv", key).parsed.status == 404


def test_generated_client_lists_and_writes_many(generated: Generated):
    models = generated.models
    put = models.Put(op="put", key="t/1", text="one", content_type="text/plain")
    add = models.Add(op="add", key="t/n", by=41)
    body = models.Transaction(then=[put, add])

    done = generated.call("batches.commit", body=body).parsed
    page = generated.call("lists.list_keys", prefix="t/", limit=1, reverse=True).parsed
    got = generated.call("batches.get_many", body=models.MgetRequest(keys=["t/1", "none"])).parsed

    assert done.succeeded is True
    assert done.results[1].number == 41
    assert [item.key for item in page.keys] == ["t/n"]
    assert [item.found for item in got.items] == [True, False]
    assert got.items[0].text == "one"
