"""A simulated disk that fails a test at the operation that comes too early.

It needs no power cut and no chance: before an operation, and whenever ``check`` is called, all that
the store relies on must be durable already.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from rundlet_server.storage.log.format import commit_page, manifest
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.locator import offset_of, segment_of
from rundlet_server.storage.log.format.manifest import Manifest, read_manifest
from rundlet_server.storage.log.format.names import index_name, segment_name
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from tests.support.disks.simulated_disk import SimulatedDisk
from tests.support.disks.unsynced_files import UnsyncedFiles


class OrderedDisk(SimulatedDisk):
    """Asserts that each thing is durable before another one refers to it.

    Attributes:
        is_always: whether commits are durable before they are published.
        manifests: the number of manifests that were checked.
        removals: the number of removed segments and index files that were checked.
    """

    def __init__(self, folder: Path, *, boot_id: int, is_always: bool) -> None:
        super().__init__(folder)
        self._boot_id = boot_id
        self.is_always = is_always
        self.manifests = 0
        self.removals = 0

    def operation(self) -> None:
        super().operation()
        self.check()

    def rename(self, source: Path, target: Path) -> None:
        """A manifest is durable before it gets its name, and so is what it names."""
        if target.name == manifest.FILE_NAME:
            content = source.read_bytes()
            assert self._durable_content(source.name, needs_name=False) == content, (
                "a manifest gets its name before its content is synced"
            )
            self._check_named(_decoded(content))
            self.manifests += 1
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        """A file is removed when no durable manifest names it any more."""
        if path.suffix in (".log", ".idx") and path.exists():
            durable = self._durable_manifest()
            assert durable is None or path.name not in durable.file_names, (
                f"{path.name} is removed while the durable manifest names it"
            )
            self.removals += 1
        super().unlink(path)

    def check(self) -> None:
        """Check what the commit page tells the other processes, if there is a page."""
        if not (self.folder / commit_page.FILE_NAME).exists():
            return
        if (self.folder / commit_page.FILE_NAME).stat().st_size != commit_page.PAGE_SIZE:
            return
        page = CommitPage.look(UnsyncedFiles(), self.folder, self._boot_id)
        try:
            self._check_page(page)
        finally:
            page.close()

    def _check_page(self, page: CommitPage) -> None:
        if page.published is None:
            return
        durable = self._durable_manifest()
        assert durable is not None, "a store is open before its manifest is durable"
        assert page.generation <= durable.generation, "a manifest is told before it is durable"
        # Compaction may have removed the segment that was durable last, never the active one.
        if page.durable is not None and self._is_there(page.durable):
            self._check_position(page.durable, "the durable word")
        if self.is_always:
            self._check_position(page.published, "the published word")

    def _is_there(self, position: int) -> bool:
        return segment_name(segment_of(position)) in self._now

    def _check_position(self, position: int, word: str) -> None:
        name, offset = segment_name(segment_of(position)), offset_of(position)
        self._check_file(name, offset, f"{word} covers {offset} bytes of {name}")

    def _check_named(self, named: Manifest) -> None:
        for segment in named.segments:
            self._check_file(
                segment_name(segment.number),
                segment.size or HEADER_SIZE,
                f"a manifest names segment {segment.number}",
            )
        for index in named.indexes:
            name = index_name(index.number)
            self._check_file(name, index.size, f"a manifest names index file {index.number}")

    def _check_file(self, name: str, size: int, context: str) -> None:
        """Check that the name and the first bytes of a file are on the medium."""
        content = self._durable_content(name)
        assert content is not None, f"{context}, and the name is not durable"
        found = (self.folder / name).read_bytes()[:size]
        assert content[:size] == found, f"{context}, and they are not durable"

    def _durable_content(self, name: str, *, needs_name: bool = True) -> bytes | None:
        if needs_name:
            return self.crashed("nothing", random.Random(0)).get(name)
        return self._now[name].durable

    def _durable_manifest(self) -> Manifest | None:
        content = self._durable_content(manifest.FILE_NAME)
        return None if content is None else _decoded(content)


def _decoded(content: bytes) -> Manifest:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / manifest.FILE_NAME).write_bytes(content)
        return read_manifest(UnsyncedFiles(), Path(folder))
