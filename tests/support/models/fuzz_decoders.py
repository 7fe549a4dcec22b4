"""Fuzz the decoders of all files with coverage guidance (T1): any bytes under a valid checksum.

    python -m tests.support.models.fuzz_decoders SECONDS [SEED]

atheris looks which bytes reach new lines of the decoders and goes on from them. A checksum would
stop it at once, so it is put on here. What decoders may say is that the bytes are bad.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rundlet_server.storage.log"]):
    from rundlet_server.storage.checksum import CHECKSUM_SIZE, seal
    from rundlet_server.storage.errors import Damaged, UnknownFormat
    from rundlet_server.storage.files import RealFiles
    from rundlet_server.storage.log.format import frame as frames
    from rundlet_server.storage.log.format import record as records
    from rundlet_server.storage.log.format.frame import BadFrame, Totals, frame_seed
    from rundlet_server.storage.log.format.locator import Locator, pack_position
    from rundlet_server.storage.log.format.manifest import (
        FILE_NAME,
        Manifest,
        SegmentState,
        read_manifest,
        write_manifest,
    )
    from rundlet_server.storage.log.format.names import index_name
    from rundlet_server.storage.log.format.record import BadRecord, Record
    from rundlet_server.storage.log.format.segment import (
        SegmentHeader,
        decode_header,
        encode_header,
    )
    from rundlet_server.storage.log.format.stretches import Stretch
    from rundlet_server.storage.log.index.columns import from_delta
    from rundlet_server.storage.log.index.contents import HEADER, HEADER_SIZE, MAGIC
    from rundlet_server.storage.log.index.delta import Delta
    from rundlet_server.storage.log.index.file import IndexFile
    from rundlet_server.storage.log.index.writer import write_index

SALT, OFFSET = 7, 64
RECORD = Record(b"key", b"value", records.PUT, 3, 1, 9, "image/x-rare", 8, (("a", "b"),))
SEGMENT = SegmentState(1, 64, 1, 1, 1, Totals(1, 5), False)
MANIFEST = Manifest(1, bytes(16), 2, 1, 0, 0, False, (SEGMENT,), ())
FILES = RealFiles()


class Decoders:
    """The decoders; each reads bytes without a checksum, and none may raise."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sections, _ = index_of_one_key(folder)
        self.all: list[Callable[[bytes], None]] = [
            self.record,
            self.frame,
            self.segment_header,
            self.manifest,
            self.index_file,
        ]

    def __call__(self, data: bytes) -> None:
        """Pass the bytes after the first to the decoder that the first byte selects."""
        if data:
            self.all[data[0] % len(self.all)](data[1:])

    def record(self, data: bytes) -> None:
        with suppress(BadRecord):
            records.decode(seal(data))
        with suppress(BadRecord):
            records.decode_entry(seal(data), "key", b"key", 3)

    def frame(self, data: bytes) -> None:
        with suppress(BadFrame, BadRecord):
            frame = frames.decode(memoryview(seal(data, frame_seed(SALT, OFFSET))), OFFSET, SALT)
            for _, found in frame.records():
                records.decode(found)
        sealed = seal(data, frame_seed(SALT, OFFSET))
        with suppress(Damaged):
            Stretch(Path("fuzzed"), SALT, OFFSET, sealed, [0, len(sealed)]).locators(1)

    def segment_header(self, data: bytes) -> None:
        with suppress(Damaged, UnknownFormat):
            decode_header(seal(data), Path("fuzzed"))

    def manifest(self, data: bytes) -> None:
        (self._folder / FILE_NAME).write_bytes(seal(data))
        with suppress(Damaged, UnknownFormat):
            read_manifest(FILES, self._folder)

    def index_file(self, data: bytes) -> None:
        """Decode the bytes as the map of an index file's sections, after sections of one key."""
        path = self._folder / index_name(1)
        place = len(self._sections)
        contents = seal(data)
        header = seal(HEADER.pack(MAGIC, 1, 1 << 16, bytes(16), place, len(contents)))
        path.write_bytes(header + self._sections[HEADER_SIZE:] + contents)
        with suppress(Damaged, UnknownFormat):
            index = IndexFile(FILES, path, 1, path.stat().st_size)
            index.find(b"key", None)
            list(index.scan(b"", None, reverse=False))
            index.verify()


def seeds(folder: Path) -> list[bytes]:
    """Return one valid input for each decoder."""
    buffers, _ = frames.encode(
        [records.encode(RECORD)],
        record_count=1,
        revision=3,
        time_us=9,
        totals=Totals(1, 5),
        synced=0,
        salt=SALT,
        offset=OFFSET,
    )
    write_manifest(FILES, folder, MANIFEST)
    sealed = [
        b"".join(records.encode(RECORD)),
        b"".join(buffers),
        encode_header(SegmentHeader(1, 1, bytes(16), SALT)),
        (folder / FILE_NAME).read_bytes(),
    ]
    sealed.append(index_of_one_key(folder)[1])
    return [bytes([number]) + data[:-CHECKSUM_SIZE] for number, data in enumerate(sealed)]


def index_of_one_key(folder: Path) -> tuple[bytes, bytes]:
    """Return an index file in two parts: the bytes before its map of sections, and the map."""
    delta = Delta(1, OFFSET)
    locator = Locator(3, pack_position(1, OFFSET), 60, 5, 1, records.PUT, "image/x-rare", 8)
    delta.add([(b"key", locator)])
    path = folder / index_name(1)
    write_index(FILES, path, bytes(16), from_delta(delta))
    data = path.read_bytes()
    path.unlink()
    place = HEADER.unpack_from(data)[4]
    return data[:place], data[place:]


def main() -> None:
    """Fuzz for a time; end with an exit code other than 0 if a decoder misbehaves."""
    seconds, seed = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "1"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        folder = Path(made)
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, data in enumerate(seeds(folder)):
            (corpus / str(number)).write_bytes(data)
        options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={folder}/"]
        atheris.Setup([sys.argv[0], str(corpus), *options, "-max_len=600"], Decoders(folder))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
