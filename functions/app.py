"""The WSGI application: wires resources to routes, and reads the environment.

``create_app`` takes everything it uses as arguments, so that tests patch nothing;
``get_app`` is what WSGI servers are pointed at. Nothing else here reads the environment.
"""

from __future__ import annotations

from importlib import metadata

import falcon

from functions.batches import MgetResource, TxnResource
from functions.counting import CountedStore, Counters, ProcessCounters
from functions.lists import KeysResource
from functions.openapi import openapi_document
from functions.problems import ErrorAnswers
from functions.service import (
    CompactResource,
    FixedResource,
    LiveResource,
    MetricsResource,
    ReadyResource,
    ServiceResource,
    StatsResource,
)
from functions.settings import ServerSettings
from functions.target import RawTargetRouter, key_from_base64url, key_from_path
from functions.validators import EntityTags
from functions.values import ValueResource
from storage.interface import Store


def create_app(
    store: Store, settings: ServerSettings | None = None, counters: Counters | None = None
) -> falcon.App[falcon.Request, falcon.Response]:
    """The application over an open store, which stays the caller's to close.

    Args:
        store: what the functions read and write.
        settings: of these only what the functions themselves decide is used: ``read_only``.
        counters: of operations; by default this process counts for itself.
    """
    settings = settings or ServerSettings()
    counted = CountedStore(store, counters or ProcessCounters(), read_only=settings.read_only)
    app = falcon.App(router=RawTargetRouter(), media_type="text/plain")
    ErrorAnswers().install(app)
    _add_routes(app, counted)
    return app


def _add_routes(app: falcon.App[falcon.Request, falcon.Response], store: CountedStore) -> None:
    version = software_version()
    tags = EntityTags(store.store.info.store_id)
    document = openapi_document(version)
    app.add_route("/", FixedResource(_welcome(version)))
    app.add_route("/v1", ServiceResource(store, version))
    app.add_route("/v1/kv/{key:path}", ValueResource(store, tags, key_from_path))
    app.add_route("/v1/kv64/{key:path}", ValueResource(store, tags, key_from_base64url))
    app.add_route("/v1/keys", KeysResource(store))
    app.add_route("/v1/mget", MgetResource(store))
    app.add_route("/v1/txn", TxnResource(store))
    app.add_route("/v1/stats", StatsResource(store))
    app.add_route("/v1/admin/compact", CompactResource(store))
    app.add_route("/metrics", MetricsResource(store, version))
    app.add_route("/livez", LiveResource())
    app.add_route("/readyz", ReadyResource(store))
    app.add_route("/openapi.json", FixedResource(document))


def software_version() -> str:
    """The version of the installed package; of a bare checkout ``0+checkout``."""
    try:
        return metadata.version("rundlet")
    except metadata.PackageNotFoundError:
        return "0+checkout"


def _welcome(version: str) -> dict[str, object]:
    return {
        "name": "rundlet",
        "version": version,
        "see": {"service": "/v1", "keys": "/v1/keys", "openapi": "/openapi.json"},
    }
