"""Test which layer and which room may import which, and which imports are forbidden."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

SERVER = "rundlet_server"

# What each layer may import beside itself and the standard library. Our own layers stand under
# the name that they are installed by.
ALLOWED = {
    "storage": {"crc32c", "cbor2", "numpy", "xxhash", "grpc", "google", "psycopg", "psycopg_pool"},
    "functions": {"falcon", "cbor2", "msgspec", "storage"},
    "server": {"waitress", "granian", "greenlet", "uvloop", "functions", "storage"},
    "rundlet": {"httpx", "cbor2"},
    "cli": {"typer", "rich", "numpy", "obstore", "server", "functions", "storage", "rundlet"},
}
ADAPTED = {"cachelib", "django", "dogpile", "fsspec", "key_value", "zarr"}
"""Packages that the modules of rundlet/adapters with the same name import, and no others."""
FORBIDDEN = {"pickle", "shelve", "marshal"}
FOR_TYPE_CHECKERS = {"_typeshed"}  # there is no such module when a program runs

# Rooms of each layer, floor by floor: a room imports from lower floors only, never from one on
# its own floor or above. A room is a folder or a module.
FLOORS = {
    "storage": [
        "bounds errors reports clock memory backups",
        "metadata outcomes",
        "large_values timeline",
        "interface forks ranges",
        "notices",
        "files",
        "address checksum counting requests past selecting",
        "settings",
        "etcd postgres",
        "tokens",
        "log",
        "textfile care backing",
        "opening",
        "__init__",
    ],
    "storage/log": [
        "owner",
        "format place holds",
        "index waiting",
        "read open",
        "write check feed",
        "health maintain repair backup",
        "wiring housekeeping",
        "timeline",
        "reads",
        "store",
        "maintenance",
        "__init__",
    ],
    "storage/etcd": [
        "proto",
        "cluster layout",
        "slots",
        "views planning stream",
        "identity reads watching counts",
        "lists past feed outcomes",
        "commits retention",
        "tidying loading erasing",
        "store",
        "__init__",
    ],
    "storage/etcd/cluster": ["place calls requests", "client", "combining inspecting", "__init__"],
    "storage/postgres": [
        "place failures clock remembering",
        "deciding",
        "schema inspecting",
        "failover",
        "looking",
        "connections",
        "pieces writing loading",
        "reading",
        "listing retention timeline",
        "feed keeper",
        "store",
        "__init__",
    ],
    "storage/postgres/failover": ["hosts lifeline", "lives", "__init__"],
    "storage/selecting": ["globs", "matching", "deletion", "__init__"],
    "functions": [
        "units request_ids version",
        "settings route_table waits",
        "limits",
        "problems transfer",
        "metadata",
        "messages",
        "access",
        "feeds",
        "monitoring openapi",
        "routes serving",
        "plain ui",
        "app",
        "__init__",
    ],
    "functions/settings": [
        "kinds",
        "rows",
        "connections feeds reading limits processors",
        "writes",
        "server",
        "table",
        "rules",
        "__init__",
    ],
    "functions/transfer": [
        "formats rows cbor gzipped",
        "shapes",
        "writing reading importing",
        "exporting json_rows csv_rows cbor_rows text_rows",
        "readers",
        "__init__",
    ],
    "rundlet": [
        "version schemes",
        "errors model",
        "past keys wire problems",
        "answers feed",
        "calls",
        "sending",
        "following",
        "watching async_watching locks mappings",
        "async_locks",
        "methods",
        "client",
        "async_client",
        "adapters",
        "__init__ __main__ py",
    ],
    "rundlet/adapters": [
        "places",
        "caching fsspec zarr",
        "cachelib django dogpile key_value",
        "__init__",
    ],
    "rundlet/calls": [
        "bodies",
        "call",
        "past backups server",
        "batches",
        "values lists",
        "changes transfers",
        "locks",
        "__init__",
    ],
    "rundlet/sending": [
        "retrying running",
        "origin connections idempotency",
        "transport async_transport",
        "__init__",
    ],
    "rundlet/mappings": ["codecs", "mapping", "__init__"],
    "rundlet/methods": ["base", "values many files past server transfers waiting", "__init__"],
    "server": [
        "errors own_command signals",
        "listen helpers messages",
        "greeting waitress granian",
        "run",
        "__init__",
    ],
    "cli": [
        "arguments bash exits helptexts parameters table",
        "show",
        "process place serve",
        "overview transfer bench doctor backup copy",
        "commands group txn",
        "shell main",
        "start",
        "__init__",
    ],
}
MODULES = [
    pytest.param(layer, path, id=str(path.relative_to(ROOT)))
    for layer in ALLOWED
    for path in sorted((ROOT / layer).rglob("*.py"))
]


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports_of(path: Path) -> set[str]:
    """What a file imports of our own layers, as paths below the repository."""
    modules = (name.removeprefix(f"{SERVER}.") for name in imports_of(path))
    return {module.replace(".", "/") for module in modules}


@pytest.mark.parametrize(("layer", "path"), MODULES)
def test_imports_point_down(layer, path):
    own = {layer, *ALLOWED} & (ALLOWED[layer] | {layer})
    outside = (ALLOWED[layer] - own) | (sys.stdlib_module_names - FORBIDDEN)
    allowed = outside | (own & {"rundlet"}) | FOR_TYPE_CHECKERS
    if path.parent == ROOT / "rundlet/adapters":
        allowed |= {path.stem} & ADAPTED
    for module in imports_of(path):
        top, _, rest = module.partition(".")
        if top == SERVER:
            assert not rest or rest.partition(".")[0] in own, f"{path} imports {module}"
        else:
            assert top in allowed, f"{path} imports {module}"


@pytest.mark.parametrize("folder", FLOORS)
def test_rooms_import_from_lower_floors_only(folder):
    floors = {room: level for level, floor in enumerate(FLOORS[folder]) for room in floor.split()}
    rooms = {path.stem for path in (ROOT / folder).iterdir() if not path.name.startswith("__pyc")}
    assert rooms == set(floors)
    for path in (ROOT / folder).rglob("*.py"):
        room = path.relative_to(ROOT / folder).parts[0].removesuffix(".py")
        for target in own_imports_of(path):
            if not target.startswith(f"{folder}/"):
                continue
            other = target.removeprefix(f"{folder}/").partition("/")[0]
            if other in floors and other != room:
                assert floors[other] < floors[room], f"{path} imports {target}"


def test_folders_hold_few_modules_and_say_what_they_are():
    for layer in (*ALLOWED, "tests"):
        for folder in {path.parent for path in (ROOT / layer).rglob("*.py")}:
            if folder.name.startswith("format-") or folder.name == "golden":
                continue
            assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder
            assert len(list(folder.glob("*.py"))) <= 20, folder


def test_only_the_backends_see_the_engine():
    for layer in ("functions", "server", "cli"):
        for path in (ROOT / layer).rglob("*.py"):
            deep = [name for name in own_imports_of(path) if name.startswith("storage/log")]
            assert deep == [], path


@pytest.mark.parametrize(("layer", "path"), MODULES)
def test_modules_stay_short_enough_to_read(layer, path):
    assert len(path.read_text().splitlines()) <= 400, layer


def test_every_layer_of_the_server_is_part_of_its_package():
    for layer in set(ALLOWED) - {"rundlet"}:
        assert (ROOT / SERVER / layer).resolve() == ROOT / layer


def test_layers_are_imported_by_the_name_that_they_are_installed_by():
    layers = set(ALLOWED) - {"rundlet"}
    for folder in (*ALLOWED, "tests", "bench", "docs"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not {name.partition(".")[0] for name in imports_of(path)} & layers, path


DEPLOYED = ["deploy/requirements.lock", "deploy/build.lock"]
LOCK_FILES = ["requirements.lock", *DEPLOYED, "bench/requirements.lock"]


@pytest.mark.parametrize("name", LOCK_FILES)
def test_lock_file_names_no_index_and_no_machine(name):
    lock = (ROOT / name).read_text()

    assert "://" not in lock
    assert "index-url" not in lock
    assert "find-links" not in lock


@pytest.mark.parametrize("name", LOCK_FILES)
def test_lock_file_pins_everything_with_hashes(name):
    assert all("--hash=sha256:" in pin for pin in pins_of(name))


@pytest.mark.parametrize("name", DEPLOYED)
def test_what_is_deployed_is_what_was_tested(name):
    assert set(pins_of(name)) <= set(pins_of("requirements.lock"))


def pins_of(name: str) -> list[str]:
    """The lines ``name==version --hash=...`` of a lock file, without the markers."""
    lines = (ROOT / name).read_text().replace("\\\n", "").splitlines()
    pins = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [re.sub(" ;.*?(?= --hash)", "", " ".join(pin.split())) for pin in pins]
