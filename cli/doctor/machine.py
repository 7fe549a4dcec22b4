"""Checks of the machine and the software, for any store."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from rundlet_server.cli.doctor.findings import Finding, bad, good, warning
from rundlet_server.cli.show.sizes import shown_bytes
from rundlet_server.storage.files import DISK_FREE_BYTES_MIN, DiskSpace, disk_space

_PACKAGES: Final = (
    "rundlet",
    "falcon",
    "waitress",
    "granian",
    "cbor2",
    "crc32c",
    "numpy",
    "xxhash",
)
_FILES_MIN: Final = 4_096
_NETWORK: Final = frozenset(
    {*("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs")}
)
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_FREE_SHARE_MIN: Final = 0.1
_FREE_BYTES_MIN: Final = 256 * 1024 * 1024
_INODES_MIN: Final = 1_000
_SYNCS: Final = 50
_SYNC_BYTES: Final = 4_096
_SLOW_SYNC_S: Final = 0.05
_REFUSED_ADVICE: Final = (
    "the writes of a server fail, too; free some space, or look into the system's log"
)


def software() -> Finding:
    """Report Python and the packages that a server needs."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    if sys.platform != "linux":
        advice = "Rundlet is tested on Linux only"
        return warning("software", f"{found}; {versions}", advice)
    return good("software", f"{found}; {versions}")


def descriptors() -> Finding:
    """Report how many files a process that starts here may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = "without limit" if hard == resource.RLIM_INFINITY else f"at most {hard}"
    seen = f"{soft} open files, {shown} (a server raises its own limit to that)"
    if hard != resource.RLIM_INFINITY and hard < _FILES_MIN:
        advice = (
            f"each connection and each segment takes one: ulimit -Hn {_FILES_MIN}, or LimitNOFILE="
        )
        return warning("open files", seen, advice)
    return good("open files", seen)


def file_size() -> Iterator[Finding]:
    """Report if a process that starts here may not write files as large as a store needs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft != resource.RLIM_INFINITY:
        seen = f"a process started from here may make files of {shown_bytes(soft)} (ulimit -f)"
        advice = (
            "larger values, index files and imports are refused: ulimit -f unlimited, or"
            " LimitFSIZE=infinity"
        )
        yield warning("file size", seen, advice)


def file_system(folder: Path) -> Finding:
    """Report whether locks and shared memory work in the folder, and whether it is persistent."""
    kind = _file_system_kind(folder)
    if kind in _NETWORK or kind.startswith("fuse."):
        advice = "locks and shared memory do not work over a network; move it to a local disk"
        return bad("file system", f"{kind}, a network file system", advice)
    if kind in _IN_MEMORY:
        advice = "nothing there survives a restart of the machine; move it to a disk"
        return warning("file system", f"{kind}, which is memory", advice)
    if kind == "overlay":
        advice = "it is removed with the container; mount a volume there"
        return warning("file system", "overlay, the layer of a container", advice)
    return good("file system", kind or "unknown")


def is_read_only(folder: Path) -> bool:
    """Return whether the file system of a folder is mounted read-only."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def space(folder: Path) -> Iterator[Finding]:
    """Report free bytes and inodes."""
    yield _free_space(disk_space(folder))
    found = os.statvfs(folder)
    if found.f_files > 0 and found.f_favail < _INODES_MIN:
        yield warning("free inodes", f"{found.f_favail} are left", "remove unneeded files")


def _free_space(space: DiskSpace | None) -> Finding:
    if space is None:
        return good("free space", "the file system does not tell how much there is")
    free, total = space
    seen = f"{shown_bytes(free)} of {shown_bytes(total)} are free"
    if free < DISK_FREE_BYTES_MIN:
        return bad("free space", seen, "writes are refused until some space is freed")
    if free < _FREE_BYTES_MIN or free < total * _FREE_SHARE_MIN:
        advice = "compaction needs space to write; free some, or run rundlet compact"
        return warning("free space", seen, advice)
    return good("free space", seen)


def syncs(folder: Path) -> Finding:
    """Measure how long ``--sync always`` waits until a write is on the disk."""
    try:
        took_s = sorted(_sync_times_s(folder))
    except OSError as ex:
        return bad("fsync", f"the disk refuses to write: {ex.strerror}", _REFUSED_ADVICE)
    median_s, p99_s = took_s[len(took_s) // 2], took_s[len(took_s) * 99 // 100]
    seen = f"median {median_s * 1e3:.2f} ms, p99 {p99_s * 1e3:.2f} ms, of {len(took_s)} of 4 KiB"
    if p99_s > _SLOW_SYNC_S:
        advice = "every durable write waits for this; see what else uses the disk, or use another"
        return warning("fsync", seen, advice)
    return good("fsync", seen)


def lock_holders(path: Path) -> list[int]:
    """Return the ids of processes that hold an ``flock`` on a file, if the system reports them."""
    try:
        status = path.stat()
        locks = Path("/proc/locks").read_text()
    except OSError:
        return []
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    fields = [line.split() for line in locks.splitlines()]
    return sorted(int(f[4]) for f in fields if f[1] == "FLOCK" and f[5] == wanted)


def users_of_removed(path: Path) -> list[int]:
    """Return the ids of processes that have a removed file open that had this path.

    Only processes that this user may inspect, and only if there is ``/proc``.
    """
    wanted = f"{os.path.realpath(path)} (deleted)"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            if wanted in (os.readlink(link) for link in (folder / "fd").iterdir()):
                found.append(int(folder.name))
    return sorted(found)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _file_system_kind(folder: Path) -> str:
    """Return the type of the file system of a folder."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return ""
    place = os.path.realpath(folder)
    best = ("", "")
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].encode().decode("unicode_escape")
        is_above = point in ("/", place) or place.startswith(f"{point}/")
        if is_above and len(point) >= len(best[0]):
            best = (point, right.split()[0])
    return best[1]


def _sync_times_s(folder: Path) -> Iterator[float]:
    with tempfile.TemporaryFile(dir=folder) as file:  # has no name, so no file is left behind
        for _ in range(_SYNCS):
            os.pwrite(file.fileno(), os.urandom(_SYNC_BYTES), 0)
            started_s = time.perf_counter()
            os.fsync(file.fileno())
            yield time.perf_counter() - started_s
