"""Test the names of the package, what each imports, and that records behave as dataclasses."""

from __future__ import annotations

import ast
import copy
import dataclasses
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import rundlet
from rundlet import Delete, Put, Value

RUNS = 7
IMPORT_RATIO_MAX = 1.1


def names_for_type_checkers() -> set[str]:
    tree = ast.parse(Path(rundlet.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {
        alias.name
        for node in imports
        if (node.module or "").startswith("rundlet.")
        for alias in node.names
    }


def test_every_name_is_exported_and_known_to_type_checkers():
    assert all(hasattr(rundlet, name) for name in rundlet.__all__)
    assert names_for_type_checkers() == set(rundlet.__all__)
    assert set(rundlet.__all__) <= set(dir(rundlet))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        rundlet.Nothing  # noqa: B018


@pytest.mark.parametrize(
    ("statement", "left_out"),
    [
        ("from rundlet import Put, RundletError", {"httpx", "cbor2", "asyncio"}),
        (
            "from rundlet import Client",
            {"asyncio", "rundlet.mappings", "rundlet.async_client"},
        ),
        ("from rundlet import AsyncClient", {"rundlet.mappings", "rundlet.async_locks"}),
    ],
)
def test_a_name_imports_what_it_needs(statement: str, left_out: set[str]):
    program = f"import sys; {statement}; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert set(ended.stdout.decode().split()) & left_out == set()


def cpu_s(statement: str) -> float:
    """Return the least processor time that a program of one statement takes."""
    found = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", statement], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(found)


def test_the_package_takes_no_longer_to_import_than_httpx():
    assert cpu_s("import rundlet") <= IMPORT_RATIO_MAX * cpu_s("import httpx")


def test_a_client_is_shown_with_its_address_and_no_password():
    url = "http://ann:secret@127.0.0.1:1/path"

    shown = [repr(rundlet.Client(url)), repr(rundlet.AsyncClient(url))]

    assert shown == [f"{kind}('http://127.0.0.1:1/path')" for kind in ("Client", "AsyncClient")]
    lock = rundlet.Client("http://127.0.0.1:1").lock("nightly")
    assert repr(lock) == "Lock('nightly', token=0)"


# --- records -------------------------------------------------------------------------------


def test_records_are_what_frozen_dataclasses_are():
    put = Put("k", b"v", ttl=3)

    about = "content_type='application/octet-stream', ttl=3, meta={}"
    assert repr(put) == f"Put(key='k', value=b'v', {about})"
    assert put == Put("k", b"v", ttl=3)
    assert len({put, Put("k", b"v", ttl=3), Put("k", b"v")}) == 2
    assert put != Delete("k")
    assert Delete("a") != rundlet.Touch("a")
    match put:
        case Put(key, value):
            assert (key, value) == ("k", b"v")
    with pytest.raises(dataclasses.FrozenInstanceError):
        put.key = "x"
    with pytest.raises(dataclasses.FrozenInstanceError):
        del put.key
    with pytest.raises((AttributeError, TypeError)):  # which one, differs between Pythons
        put.other = 1
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'value'"):
        Put("k")


def test_records_are_copied_replaced_and_pickled():
    value = Value("k", b"v", 7, 1)

    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == copy.copy(value) == value
    assert dataclasses.replace(value, data=b"w").data == b"w"
    assert dataclasses.asdict(value)["revision"] == 7
    names = [field.name for field in dataclasses.fields(Value)]
    assert names == list(Value.__match_args__)
    assert names[:3] == ["key", "data", "revision"]
