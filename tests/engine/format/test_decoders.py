"""Test the decoders with bytes that only a bug or an editor could write: named errors (T1)."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cbor2
import pytest

from rundlet_server.storage.checksum import CHECKSUM_SIZE, seal
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE
from rundlet_server.storage.log.format.locator import Locator, pack_position
from rundlet_server.storage.log.format.names import index_name
from rundlet_server.storage.log.format.record import PUT, TYPE_IN_META, BadRecord, decode_meta
from rundlet_server.storage.log.index.columns import from_delta
from rundlet_server.storage.log.index.contents import HEADER, HEADER_SIZE
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.index.writer import write_index
from tests.support.campaign import Campaign

FILES = RealFiles()
SECTIONS = ["directory", "table", "rows", "keys", "blocks", "expiry_times", "expiry_rows"]


@pytest.mark.parametrize(
    "meta", [[], [1, 2], 5, "text", {}, {1: 5}, {1: "a/b", 2: "soon"}, {1: "a/b", 2: 1.5}]
)
def test_meta_that_is_no_map_of_what_it_should_be_is_refused(meta: object):
    with pytest.raises(BadRecord):
        decode_meta(TYPE_IN_META, cbor2.dumps(meta))


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize(("moved", "grown"), [(0, 1 << 40), (0, -8), (1 << 40, 0), (-(1 << 40), 0)])
def test_index_of_sections_in_places_where_they_cannot_be_is_refused(
    tmp_path: Path, section: str, moved: int, grown: int
):
    path, contents = index_of_one_key(tmp_path)
    offset, size = contents["sections"][section]
    contents["sections"][section] = (offset + moved, size + grown)

    with pytest.raises(Damaged):
        replace_contents(path, contents)


@pytest.mark.parametrize("name", ["row_count", "key_count"])
@pytest.mark.parametrize("number", [0, 2, -1, 1 << 40, 1.0, None])
def test_index_of_another_number_of_rows_or_keys_is_refused(
    tmp_path: Path, name: str, number: object
):
    path, contents = index_of_one_key(tmp_path)
    contents[name] = number

    with pytest.raises(Damaged):
        replace_contents(path, contents)


def index_of_one_key(folder: Path) -> tuple[Path, dict[str, object]]:
    """An index file and the map of its sections, decoded."""
    delta = Delta(1, HEADER_SIZE)
    locator = Locator(1, pack_position(1, 64), 60, 5, 1, PUT, DEFAULT_CONTENT_TYPE, 8)
    delta.add([(b"key", locator)])
    path = folder / index_name(1)
    write_index(FILES, path, bytes(16), from_delta(delta))
    data = path.read_bytes()
    return path, cbor2.loads(data[HEADER.unpack_from(data)[4] : -CHECKSUM_SIZE])


def replace_contents(path: Path, contents: dict[str, object]) -> IndexFile:
    """Open an index file again, with another map of its sections."""
    data = path.read_bytes()
    path.unlink()
    fields = list(HEADER.unpack_from(data))
    sealed = seal(cbor2.dumps(contents))
    fields[5] = len(sealed)
    header = seal(HEADER.pack(*fields))
    path.write_bytes(header + data[len(header) : fields[4]] + sealed)
    return IndexFile(FILES, path, 1, path.stat().st_size)


def test_index_of_its_own_sections_is_opened(tmp_path: Path):
    path, contents = index_of_one_key(tmp_path)

    assert replace_contents(path, contents).find(b"key", None) is not None


@pytest.mark.soak
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
def test_decoders_refuse_whatever_coverage_leads_to_for_long(campaign: Campaign):
    for _ in campaign.rounds():
        ended = subprocess.run(
            [sys.executable, "-m", "tests.support.models.fuzz_decoders", "30", str(campaign.seed)],
            check=False,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert ended.returncode == 0, ended.stderr[-3_000:]
        campaign.count("inputs", int(ended.stderr.split("Done ")[-1].split()[0]))
