"""The id of a store and its revision 0; the first process that opens the store makes them."""

from __future__ import annotations

import secrets

from rundlet_server.storage.errors import InvalidAddress
from rundlet_server.storage.etcd.cluster.client import EtcdClient, FailedCall
from rundlet_server.storage.etcd.cluster.requests import fetch, one, put, unchanged
from rundlet_server.storage.etcd.layout import Layout
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.views import first_of


def identify(client: EtcdClient, layout: Layout, *, create: bool) -> tuple[str, int]:
    """Return the id of a store and etcd's revision of its revision 0.

    Args:
        client: of the cluster.
        layout: of the store.
        create: make the store if there is none.

    Raises:
        InvalidAddress: there is no store, and ``create`` is false.
        Unavailable: no node answers.
    """
    key = layout.meta + b"id"
    while True:
        found = first_of(client.range(one(key)))
        if found is not None:
            return found.value.decode(), found.create_revision
        if not create:
            raise InvalidAddress("there is no such store in this etcd cluster")
        request = pb.TxnRequest(
            compare=[unchanged(key, 0)],
            success=[put(key, secrets.token_hex(16).encode())],
            failure=[fetch(key)],
        )
        try:
            client.write(request)
        except FailedCall as ex:
            if ex.failure != "unknown":
                raise
