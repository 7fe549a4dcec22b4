"""Test that folders of earlier releases stay readable, and that other formats are rejected (T23).

The first release of each format version wrote ``tests/golden/format-N`` once, together with its
contents according to the model (see ``tests/golden/make.py``).
"""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from rundlet_server.storage.checksum import CHECKSUM_SIZE, seal
from rundlet_server.storage.errors import UnknownFormat
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.check.verify import verify
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.index.contents import HEADER_SIZE as INDEX_HEADER_SIZE
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Retention
from rundlet_server.storage.tokens.file import TokenFile
from tests.golden.make import DAY_S, KEEP_VERSIONS, NOW_US, contents, settings
from tests.support import ROOT
from tests.support.models.model import Clock

GOLDEN = ROOT / "tests" / "golden"
FORMATS = sorted(path.name for path in GOLDEN.glob("format-*"))


@pytest.fixture(params=FORMATS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of one golden folder: reading it through the store writes, if only locks."""
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / request.param))


def opened(golden: Path) -> LogStore:
    return open_log_store(golden / "data", settings(Clock(NOW_US)))


def test_there_is_one_of_every_format():
    assert FORMATS == ["format-1", "format-2", "format-3"]


def test_every_revision_of_every_key_is_read(golden: Path):
    expected = json.loads((golden / "expected.json").read_text())

    with closing(opened(golden)) as store:
        assert json.loads(json.dumps(contents(store))) == expected


def test_it_keeps_the_retention_that_it_had(golden: Path):
    """The first format had none; its servers kept this unless they were told otherwise."""
    expected = {"format-1": Retention(1, 3_600)}.get(golden.name, Retention(KEEP_VERSIONS, DAY_S))

    with closing(open_log_store(golden / "data", StoreSettings(clock=Clock(NOW_US)))) as store:
        assert store.retention() == expected


def test_all_of_it_is_whole(golden: Path):
    assert verify(golden / "data").problems == []


def test_it_goes_on_to_be_written(golden: Path):
    expected = json.loads((golden / "expected.json").read_text())
    with closing(opened(golden)) as store:
        store.commit(Txn([Put("later", b"written by this release")]))
        store.maintainer.compact(thorough=True)

    with closing(opened(golden)) as store:
        now = contents(store)
        assert now["key_count"] == expected["key_count"] + 1
        histories = json.loads(json.dumps(now["histories"]))
    assert histories["expires"][0][2] == "expire"  # it was time; the commit has logged it
    assert histories.pop("expires")[1:] == expected["histories"].pop("expires")
    assert histories == expected["histories"]


def test_its_tokens_are_known(golden: Path):
    [token] = TokenFile(golden / "data", clock=Clock(NOW_US)).read()

    assert (token.name, token.scope, token.prefix) == ("reader", "read", "c/")


@pytest.mark.parametrize("pattern", ["MANIFEST", "*.idx", "0000000005.log", "0000000007.log"])
def test_file_of_a_later_format_is_refused_by_name(golden: Path, pattern: str):
    [path] = (golden / "data").glob(pattern)
    stamp_version(path, 99)

    with pytest.raises(UnknownFormat) as refusal, closing(opened(golden)) as store:
        contents(store)

    assert path.name in str(refusal.value)
    assert "99" in str(refusal.value)


def stamp_version(path: Path, version: int) -> None:
    """Write another format version into a file's header, with the checksum that belongs to it."""
    data = path.read_bytes()
    changed = data[:8] + version.to_bytes(4, "little") + data[12:]
    size = {".log": HEADER_SIZE, ".idx": INDEX_HEADER_SIZE}.get(path.suffix, len(data))
    path.write_bytes(seal(changed[: size - CHECKSUM_SIZE]) + changed[size:])
