"""Checks of a store in a database; servers may run on it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rundlet_server.cli.doctor import machine
from rundlet_server.cli.doctor.findings import Finding, bad, good, warning
from rundlet_server.cli.exits import ExitCode, exit_code_of, message_of
from rundlet_server.cli.show.sizes import shown_bytes
from rundlet_server.server.listen.address import is_loopback
from rundlet_server.storage.address import StoreAddress, missing_extra
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.opening import StoreOptions, open_store
from rundlet_server.storage.settings import StoreSettings

if TYPE_CHECKING:
    from rundlet_server.storage.etcd.cluster.inspecting import Node

_EXTRAS: Final = {"etcd": "etcd", "postgresql": "postgres"}
_CLOCK_APART_S: Final = 3.0
_ETCD_QUOTA: Final = 2 * 1024**3
_POSTGRES_MIN: Final = 130_000
_ASYNCHRONOUS: Final = ("off", "local")


def check_database(address: StoreAddress) -> Iterator[Finding]:
    """Check a store in etcd or PostgreSQL, the most basic conditions first.

    Raises:
        MissingBackend: the extra is not installed.
    """
    yield machine.software()
    try:
        if address.scheme == "etcd":
            yield from _cluster(address)
        else:
            yield from _postgres(address)
        yield from _store(address)
    except ModuleNotFoundError as ex:
        raise missing_extra(address, _EXTRAS[address.scheme], ex) from ex
    except StoreError as ex:
        advice = "is it running, and is --store right? a server creates a store that is missing"
        yield bad("store", message_of(ex), advice, exit_code_of(ex) or ExitCode.UNREACHABLE)


def _store(address: StoreAddress) -> Iterator[Finding]:
    store = open_store(address, StoreOptions(StoreSettings(is_read_only=True)))
    try:
        stats, health = store.stats(), store.health()
    finally:
        store.close()
    if health.reasons:
        yield bad("ready", "; ".join(health.reasons), "see docs/operations.md")
    seen = f"{stats.key_count} keys, revisions {stats.oldest_revision} to {stats.revision}"
    yield good("store", f"{seen}, in a format that this release knows")
    ahead_s = health.clock_ahead_s or 0.0
    if ahead_s > _CLOCK_APART_S:
        seen = f"the store's time is {ahead_s:.0f} s ahead of this machine's clock"
        yield warning("clock", seen, "keep the clocks of all servers in step (NTP)")
    else:
        yield good("clock", "the store's time is not ahead of this machine's clock")


def _cluster(address: StoreAddress) -> Iterator[Finding]:
    # What the extra of a backend brings is loaded only here.
    from rundlet_server.storage.etcd.cluster.inspecting import inspect_cluster  # noqa: PLC0415
    from rundlet_server.storage.etcd.cluster.place import EtcdPlace  # noqa: PLC0415
    from rundlet_server.storage.etcd.layout import Layout  # noqa: PLC0415

    place = EtcdPlace.of(address)
    cluster = inspect_cluster(place, Layout(place.name).meta + b"claim")
    yield from (_node(node) for node in cluster.nodes)
    if len(cluster.nodes) < 3:
        advice = "name three or five nodes: of fewer, none may die"
        yield warning("nodes", f"{len(cluster.nodes)} in the address", advice)
    hosts = [node.endpoint.rpartition(":")[0].strip("[]") for node in cluster.nodes]
    yield _secrecy(cluster.is_tls, all(map(is_loopback, hosts)), "write etcds://")
    if cluster.refusal:
        advice = "the user needs to read and write keys from rundlet/ on"
        yield bad("rights", cluster.refusal, advice, ExitCode.NOT_ALLOWED)
    elif not all(node.failure for node in cluster.nodes):
        yield good("rights", "this user may write")


def _node(node: Node) -> Finding:
    if node.failure:
        return bad("node", node.failure, f"start {node.endpoint}, or take it out of --store")
    seen = (
        f"{node.endpoint}, etcd {node.version}, {shown_bytes(node.db_bytes)}, of which"
        f" {shown_bytes(node.used_bytes)} are in use"
    )
    if node.alarms:
        advice = "free space, then etcdctl alarm disarm (docs/operations.md)"
        return bad("node", f"{seen}; it reports {', '.join(node.alarms)}", advice)
    if not node.has_leader:
        return bad("node", f"{seen}; it has no leader", "see to it that most nodes run")
    if _is_old(node.version):
        advice = "update it to 3.4.25, 3.5.16 or 3.6: older ones have faults"
        return warning("node", seen, advice)
    if node.db_bytes > _ETCD_QUOTA * 3 // 4:
        advice = "etcd's quota is 2 GiB unless you set it; etcdctl defrag, or raise the quota"
        return warning("node", seen, advice)
    return good("node", seen)


def _postgres(address: StoreAddress) -> Iterator[Finding]:
    # What the extra of a backend brings is loaded only here.
    from rundlet_server.storage.postgres.inspecting import inspect_database  # noqa: PLC0415

    found = inspect_database(address)
    seen = f"PostgreSQL {found.version}"
    if found.is_standby:
        yield bad("database", f"{seen}, a standby that takes no writes", "name the primary, too")
    elif found.version_number < _POSTGRES_MIN:
        yield warning("database", seen, "update it: the tests run on PostgreSQL 15")
    else:
        yield good("database", seen)
    yield _durability(found.settings, found.replica_count)
    if abs(found.clock_ahead_s) > _CLOCK_APART_S:
        seen = f"the database's clock is {found.clock_ahead_s:+.0f} s from this machine's"
        yield warning("clocks", seen, "servers decide on expiry by their own clocks; use NTP")
    yield _secrecy(found.is_tls, found.is_local, "add sslmode=verify-full to the address")
    if found.may_write:
        yield good("rights", "this user may write")
    else:
        advice = "the user that serves must own the tables"
        yield bad("rights", "this user may not write the tables", advice, ExitCode.NOT_ALLOWED)


def _durability(settings: dict[str, str], replica_count: int) -> Finding:
    seen = ", ".join(f"{name} = {value or '(none)'}" for name, value in settings.items())
    seen += f"; {replica_count} standbys are connected"
    if "off" in (settings["fsync"], settings["full_page_writes"]):
        return warning("durability", seen, "a crash of its machine can ruin it: set both on")
    if settings["synchronous_commit"] in _ASYNCHRONOUS:
        return warning("durability", seen, "a failure loses acknowledged writes: set it on")
    if replica_count and not settings["synchronous_standby_names"]:
        advice = "a failover loses the last acknowledged writes: set synchronous_standby_names"
        return warning("durability", seen, advice)
    return good("durability", seen)


def _secrecy(is_tls: bool, is_local: bool, advice: str) -> Finding:
    if is_tls or is_local:
        return good("secrecy", "TLS" if is_tls else "not encrypted, on this machine only")
    return warning("secrecy", "values and passwords can be read on the way", advice)


def _is_old(version: str) -> bool:
    parts = [int(part) for part in version.split("-", maxsplit=1)[0].split(".") if part.isdigit()]
    if parts[:2] == [3, 4]:
        return parts < [3, 4, 25]
    return parts < [3, 5, 16]
