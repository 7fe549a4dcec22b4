"""Stores in the engines that all tests of a session share."""

from __future__ import annotations

from pathlib import Path

from tests.support.postgres import postgres_server
from tests.support.processes.etcd import shared_etcd, store_name


def store_address(engine: str, place: Path) -> str:
    """Return the address of the store of a test, which has the folder ``place`` to itself."""
    if engine == "etcd":
        return f"etcd://{shared_etcd()}/{store_name(place)}"
    return postgres_server().url()
