"""The WSGI application: wires resources to routes, and reads the environment.

``create_app`` takes everything it uses as arguments, so that tests patch nothing;
``get_app`` is what WSGI servers are pointed at. Nothing else here reads the environment.
"""

from __future__ import annotations

import os
from importlib import metadata

import falcon

from functions.access import Access, TokenSource
from functions.audit import AuditTrail, audit_writer
from functions.batches import MgetResource, TxnResource
from functions.counting import CountedStore, Counters, ProcessCounters
from functions.lists import KeysResource
from functions.openapi import openapi_document
from functions.problems import ErrorAnswers
from functions.request_ids import RequestIds
from functions.routing import TargetRouter
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
from functions.target import key_from_base64url, key_from_path
from functions.uploads import UploadGate
from functions.validators import EntityTags
from functions.values import ValueResource
from storage import OperationCounters, StoreSettings, open_store, open_text_file
from storage.interface import Store
from storage.tokens import TokenWatch


def create_app(
    store: Store,
    settings: ServerSettings | None = None,
    counters: Counters | None = None,
    tokens: TokenSource | None = None,
) -> falcon.App[falcon.Request, falcon.Response]:
    """The application over an open store, which stays the caller's to close.

    Args:
        store: what the functions read and write.
        settings: of these only what the functions themselves decide is used: ``read_only``,
            ``open_without_tokens``, ``audit_path``, ``uploads_max``.
        counters: of operations; by default this process counts for itself.
        tokens: in force; without them everybody may do everything.

    Raises:
        OSError: the file for the audit trail cannot be opened.
    """
    settings = settings or ServerSettings()
    counters = counters or ProcessCounters()
    counted = CountedStore(store, counters, read_only=settings.read_only)
    ids = RequestIds()
    access, middleware = None, []
    if tokens is not None:
        access = Access(tokens, counters, is_open=settings.open_without_tokens)
        middleware = [AuditTrail(ids, audit_writer(settings.audit_path))]
    app = falcon.App(router=TargetRouter(access), media_type="text/plain", middleware=middleware)
    gate = UploadGate(settings.uploads_max)
    ErrorAnswers(ids, gate.discard).install(app)
    _add_routes(app, counted, gate)
    return app


def _add_routes(
    app: falcon.App[falcon.Request, falcon.Response], store: CountedStore, gate: UploadGate
) -> None:
    version = software_version()
    tags = EntityTags(store.store.info.store_id)
    document = openapi_document(version)
    app.add_route("/", FixedResource(_welcome(version)))
    app.add_route("/v1", ServiceResource(store, version))
    app.add_route("/v1/kv/{key:path}", ValueResource(store, gate, tags, key_from_path))
    app.add_route("/v1/kv64/{key:path}", ValueResource(store, gate, tags, key_from_base64url))
    app.add_route("/v1/keys", KeysResource(store))
    app.add_route("/v1/mget", MgetResource(store, gate))
    app.add_route("/v1/txn", TxnResource(store, gate))
    app.add_route("/v1/stats", StatsResource(store))
    app.add_route("/v1/admin/compact", CompactResource(store))
    app.add_route("/metrics", MetricsResource(store, version))
    app.add_route("/livez", LiveResource())
    app.add_route("/readyz", ReadyResource(store))
    app.add_route("/openapi.json", FixedResource(document))


def get_app() -> falcon.App[falcon.Request, falcon.Response]:
    """The application as the environment describes it, with its store open.

    Raises:
        SettingError: a variable cannot be read.
        StoreError: the store does not open.
    """
    settings = ServerSettings.from_environ(os.environ)
    folder = settings.counters_path
    counters = ProcessCounters() if folder is None else OperationCounters(folder)
    tokens = watch_tokens(settings)
    return create_app(open_configured_store(settings), settings, counters, tokens)


def watch_tokens(settings: ServerSettings) -> TokenWatch | None:
    """The tokens in the folder that the settings name; ``None`` where they name none.

    Raises:
        StoreError, OSError: see ``TokenWatch``.
    """
    folder = settings.tokens_folder
    return None if folder is None else TokenWatch(folder)


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


def open_configured_store(settings: ServerSettings) -> Store:
    """Open the store that the settings name: a text file, or else a folder.

    Raises:
        StoreError: it does not open.
    """
    if settings.read_only_file is not None:
        return open_text_file(
            settings.read_only_file,
            any_key=settings.any_key,
            skip_bad=settings.skip_bad,
            limits=settings.limits,
        )
    return open_store(
        settings.data_path,
        StoreSettings(
            sync=settings.sync,
            sync_interval_s=settings.sync_interval_s,
            keep_versions=settings.keep_versions,
            keep_for_s=settings.keep_for_s,
            limits=settings.limits,
            is_read_only=settings.read_only,
            maintain_inline=settings.maintain_inline,
        ),
    )
