"""Describe what the figures depend on: the machine, its disk, and the installed programs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sysconfig
import time
import timeit
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Final

from bench.load.wrk import generator_name
from bench.scale import CORES, Scale

_PACKAGES: Final = (
    "rundlet",
    "falcon",
    "waitress",
    "granian",
    "fastapi",
    "uvicorn",
    "flask",
    "redis",
    "nats-py",
    "lmdb",
    "rocksdict",
    "diskcache",
    "sqlitedict",
    "grpcio",
    "psycopg",
)
_PROGRAMS: Final = {
    "valkey-server": "--version",
    "redis-server": "--version",
    "nats-server": "--version",
    "webdis": "",  # has no such option: it would take it as its settings file, and serve
    "etcd": "--version",
    "psql": "--version",
    "nginx": "-v",
    "wrk": "-v",
}
_CALLS: Final = 1_000_000
_SYNCS: Final = 50
_RECORD_BYTES: Final = 145


def describe(folder: Path, scale: Scale) -> dict[str, str]:
    """Return the machine's properties by name.

    Args:
        folder: on the disk that the run uses.
        scale: of the run.
    """
    return {
        "processor": _processor(),
        "cores": str(CORES),
        "memory": _memory(),
        "system": platform.platform(),
        "python": _python(),
        "packages": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        "programs": ", ".join(f"{name} {_program_version(name)}" for name in _PROGRAMS),
        "commit": _commit(),
        "fdatasync of one append": f"{_sync_ms(folder):.2f} ms (median of {_SYNCS})",
        "load generator for reads": generator_name(scale.load_s),
        "load average before": load_average(),
    }


def load_average() -> str:
    """Return the load average of the last minute; before a run, it should be close to 0."""
    return f"{os.getloadavg()[0]:.1f}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _python() -> str:
    """Name the interpreter and how it was built.

    A build that does not say ``--enable-optimizations`` may still be optimised, as Debian's is; so
    the text also has the time of a fixed piece of work.
    """
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    flags = (sysconfig.get_config_var("PY_CFLAGS") or "").split()
    level = next((flag for flag in reversed(flags) if flag.startswith("-O")), "-O?")
    with_or_without = "with" if "--enable-optimizations" in options else "without"
    name = f"{platform.python_implementation()} {platform.python_version()}"
    return (
        f"{name}, {platform.python_compiler()}, {level}, configured {with_or_without}"
        f" --enable-optimizations; {_CALLS:,} calls of an empty function take {_calls_ms():.1f} ms"
    )


def _calls_ms() -> float:
    """Return the shortest of some times of many calls of a function."""
    times_s = timeit.repeat("call()", "def call(): pass", number=_CALLS, repeat=5)
    return min(times_s) * 1_000


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _program_version(program: str) -> str:
    if shutil.which(program) is None:
        return "absent"
    if not _PROGRAMS[program]:
        return "installed"
    command = [program, _PROGRAMS[program]]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    words = (told.stdout + told.stderr).replace("v=", "").replace("/", " ").split()
    versions = (word.removeprefix("v").rstrip(",") for word in words)
    return next((version for version in versions if version[:1].isdigit()), "?")


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    told = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return told.stdout.strip() or "?"


def _sync_ms(folder: Path) -> float:
    path = folder / "sync"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    took = []
    for _ in range(_SYNCS):
        os.write(file, bytes(_RECORD_BYTES))
        began_s = time.perf_counter()
        os.fdatasync(file)
        took.append((time.perf_counter() - began_s) * 1_000)
    os.close(file)
    path.unlink()
    return median(took)
