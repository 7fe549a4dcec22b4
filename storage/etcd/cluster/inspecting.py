"""Inspect the nodes of a cluster for an operator, each by a call of its own."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from rundlet_server.storage.errors import DiskFull, StoreError
from rundlet_server.storage.etcd.cluster.client import EtcdClient
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.cluster.requests import put, unchanged
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb

_NEVER = 1 << 62
"""No key was written at this revision."""


class Node(NamedTuple):
    """A node; ``failure`` says why it does not answer, and the rest is unknown then."""

    endpoint: str
    failure: str = ""
    version: str = ""
    db_bytes: int = 0
    used_bytes: int = 0
    has_leader: bool = False
    alarms: tuple[str, ...] = ()


class Cluster(NamedTuple):
    """The nodes of an address, whether TLS is used, and why the user may not write, if so."""

    nodes: list[Node]
    is_tls: bool
    refusal: str


def inspect_cluster(place: EtcdPlace, key: bytes) -> Cluster:
    """Ask every node, and whether the user may write a key; nothing is changed.

    Raises:
        InvalidAddress: a file of the address cannot be read.
    """
    nodes = [_node(place, endpoint) for endpoint in place.endpoints]
    refusal = "" if all(node.failure for node in nodes) else _refusal(place, key)
    return Cluster(nodes, place.tls is not None, refusal)


def _node(place: EtcdPlace, endpoint: str) -> Node:
    client = EtcdClient(dataclasses.replace(place, endpoints=(endpoint,)))
    try:
        status = client.status()
    except StoreError as ex:
        return Node(endpoint, str(ex))
    finally:
        client.close()
    return Node(
        endpoint,
        "",
        status.version,
        status.dbSize,
        status.dbSizeInUse,
        status.leader != 0,
        tuple(status.errors),
    )


def _refusal(place: EtcdPlace, key: bytes) -> str:
    """Return why a write would be refused; etcd checks rights before it compares."""
    client = EtcdClient(place)
    try:
        client.write(pb.TxnRequest(compare=[unchanged(key, _NEVER)], success=[put(key, b"")]))
    except DiskFull:  # the alarms report it
        return ""
    except StoreError as ex:
        return str(ex)
    finally:
        client.close()
    return ""
