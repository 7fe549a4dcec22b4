"""The WSGI application: wire resources to routes, and read the environment.

``create_app`` takes everything it uses as arguments, so that tests patch nothing. WSGI servers
load ``get_app``; servers with an event loop call ``get_service``. Only these two read the
environment.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

import falcon

from rundlet_server.functions import route_table as routes
from rundlet_server.functions.access.admission import NO_TOKENS, Access
from rundlet_server.functions.access.cors import CorsHeaders
from rundlet_server.functions.access.hosts import HostNames
from rundlet_server.functions.access.routing import TargetRouter
from rundlet_server.functions.feeds.places import FeedPlaces
from rundlet_server.functions.feeds.stream import Source
from rundlet_server.functions.feeds.waiting import Waiting
from rundlet_server.functions.limits import EXPORTS_DEFAULT, LimitAdvice, shown_limits
from rundlet_server.functions.messages.gates import Gates
from rundlet_server.functions.messages.places import Places
from rundlet_server.functions.messages.sending import SendingGate
from rundlet_server.functions.messages.target import VALUE_ROUTES, key_from_base64url, key_from_path
from rundlet_server.functions.messages.uploads import DecodingTurns, discard_body
from rundlet_server.functions.messages.validators import EntityTags
from rundlet_server.functions.monitoring.audit import AUDIT_FAILURES, AuditTrail
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.functions.monitoring.logs import LineFile, LineWriter, RequestLog, stderr_writer
from rundlet_server.functions.monitoring.measures import MeasuredApp
from rundlet_server.functions.monitoring.readiness import Readiness
from rundlet_server.functions.openapi import openapi_document
from rundlet_server.functions.plain.gets import PlainGets
from rundlet_server.functions.plain.mgets import PlainMgets
from rundlet_server.functions.plain.writes import PlainWrites
from rundlet_server.functions.problems import ErrorAnswers
from rundlet_server.functions.request_ids import RequestIds
from rundlet_server.functions.routes.backups import (
    BackupFileResource,
    BackupResource,
    BackupsResource,
)
from rundlet_server.functions.routes.batches import MgetResource, TxnResource
from rundlet_server.functions.routes.changes import ChangesResource
from rundlet_server.functions.routes.diff import DiffResource
from rundlet_server.functions.routes.history import HistoryResource
from rundlet_server.functions.routes.lists import KeysResource
from rundlet_server.functions.routes.metrics import MetricsResource
from rundlet_server.functions.routes.ready import ReadyResource
from rundlet_server.functions.routes.retention import RetentionResource
from rundlet_server.functions.routes.rollback import RollbackResource
from rundlet_server.functions.routes.service import (
    CompactResource,
    FixedResource,
    LiveResource,
    ServiceResource,
    StatsResource,
)
from rundlet_server.functions.routes.tokens import TokenKeeper, TokenResource, TokensResource
from rundlet_server.functions.routes.transfers import ExportResource, ImportResource
from rundlet_server.functions.routes.values import ValueResource
from rundlet_server.functions.serving import Service, service_of
from rundlet_server.functions.settings import FeedLimits, ServerSettings
from rundlet_server.functions.ui.files import read_assets
from rundlet_server.functions.ui.resources import (
    FileResource,
    PageResource,
    RedirectResource,
    RootResource,
)
from rundlet_server.functions.version import software_version
from rundlet_server.functions.waits import IN_THREAD, Waits
from rundlet_server.storage.counting.counters import OperationCounters, SharedCounters
from rundlet_server.storage.counting.heartbeat import beat, start_heartbeat
from rundlet_server.storage.counting.measures import Measures
from rundlet_server.storage.interface import Limits, Store
from rundlet_server.storage.opening import StoreOptions, open_store
from rundlet_server.storage.tokens.interface import TokenSource, TokenStore
from rundlet_server.storage.tokens.opening import open_tokens


def create_app(
    store: Store,
    settings: ServerSettings | None = None,
    counters: OperationCounters | None = None,
    tokens: TokenSource | None = None,
    *,
    token_store: TokenStore | None = None,
    waits: Waits = IN_THREAD,
) -> MeasuredApp:
    """Return the application over an open store, which the caller closes.

    Args:
        store: the store that the functions read and write.
        settings: of the server. The application applies ``read_only``,
            ``open_without_tokens``, ``audit_path``, ``exports_max``, ``sending_bytes_max``,
            ``writes``, ``feeds``, ``log_format``, ``slow_s``, ``cors_origins``, ``host_names``,
            ``no_ui``, and ``maintain_inline`` for ``/readyz``.
            ``/v1`` shows the limits on connections, which the server in front enforces.
        counters: count operations; by default this process counts for itself.
        tokens: the current tokens; without them there is no authentication.
        token_store: where ``/v1/tokens`` changes them.
        waits: how requests wait.

    Raises:
        OSError: the file for the audit trail cannot be opened.
    """
    settings = settings or ServerSettings()
    counters = counters or OperationCounters()
    counted = CountedStore(
        store,
        counters,
        read_only=settings.read_only,
        idempotency_s=settings.writes.idempotency_s,
        waits=waits,
    )
    ids = RequestIds()
    middleware: list[AuditTrail | CorsHeaders] = []
    readiness = _readiness_of(counted, settings, tokens)
    trail = None
    if tokens is not None:
        trail = AuditTrail(ids, _audit_writer(settings, counters, readiness), waits)
        middleware.append(trail)
    cors = CorsHeaders(settings.cors_origins) if settings.cors_origins else None
    if cors is not None:
        middleware.append(cors)
    access = _access(settings, counters, tokens)
    errors = ErrorAnswers(ids, discard_body, LimitAdvice(store.info))
    app = MeasuredApp(
        counters.shared,
        RequestLog(
            ids,
            stderr_writer(),
            log_format=settings.log_format,
            is_complete=settings.slow_s == 0,
        ),
        errors,
        router=TargetRouter(access),
        middleware=middleware,
        slow_s=settings.slow_s,
    )
    sending = SendingGate(settings.sending_bytes_max, waits)
    last_headers = cors.without_origin if cors else ()
    app.quick = PlainGets(counted, access, errors, app.count, last_headers=last_headers)
    app.quick_writes = PlainWrites(
        counted, access, errors, app.count, trail=trail, last_headers=last_headers
    )
    app.quick_mgets = PlainMgets(counted, access, app.count, last_headers=last_headers).begin
    limits = shown_limits(settings, store.info.limits)
    source = Source(
        counted,
        Waiting(store, access.readmit if access else _admit_again, waits),
        FeedPlaces(settings.feeds.feeds_max, counters.shared),
        sending,
        counters.shared,
        settings.feeds.wait_s_max,
        waits=waits,
    )
    app.add_route(routes.CHANGES.template, ChangesResource(counted, source, ids))
    app.add_route(routes.OPENAPI.template, _openapi_resource(store.info.limits, settings.feeds))
    exports = Places(settings.exports_max or EXPORTS_DEFAULT, waits)
    gates = Gates(DecodingTurns(), sending, exports, waits)
    _add_values(app, counted, gates, source)
    _add_routes(app, counted, gates, limits, readiness)
    keeper = TokenKeeper(counted, token_store)
    app.add_route(routes.TOKENS.template, TokensResource(keeper, counted))
    app.add_route(routes.TOKEN.template, TokenResource(keeper))
    _add_pages(app, with_dashboard=not settings.no_ui)
    return app


def _add_values(
    app: falcon.App[falcon.Request, falcon.Response],
    store: CountedStore,
    gates: Gates,
    source: Source,
) -> None:
    tags = EntityTags(store.info.store_id)
    for route, decode_key in VALUE_ROUTES:
        app.add_route(route.template, ValueResource(store, gates, tags, source, decode_key))


def _admit_again(_environ: Mapping[str, object]) -> None:
    """Do nothing: this server admits every request."""


def _access(
    settings: ServerSettings, counters: OperationCounters, tokens: TokenSource | None
) -> Access | None:
    """Return the access control; ``None`` if the server admits all requests of any host name."""
    hosts = HostNames(settings.host_names) if settings.host_names else None
    if tokens is not None:
        return Access(tokens, counters, is_open=settings.open_without_tokens, hosts=hosts)
    return Access(NO_TOKENS, counters, is_open=True, hosts=hosts) if hosts else None


def _audit_writer(
    settings: ServerSettings, counters: OperationCounters, readiness: Readiness
) -> LineWriter:
    """Return the writer of the audit trail; ``/readyz`` warns if it fails."""
    if settings.audit_path is None:
        return stderr_writer()
    file = LineFile(settings.audit_path, lambda count: counters.shared.add(AUDIT_FAILURES, count))
    readiness.watch_audit(file)
    return file


def _readiness_of(
    store: CountedStore, settings: ServerSettings, tokens: TokenSource | None
) -> Readiness:
    is_maintained = not (settings.maintain_inline or store.read_only)
    return Readiness(store, tokens or NO_TOKENS, is_maintained=is_maintained)


def _add_routes(
    app: falcon.App[falcon.Request, falcon.Response],
    store: CountedStore,
    gates: Gates,
    limits: Mapping[str, object],
    readiness: Readiness,
) -> None:
    version = software_version()
    app.add_route(routes.SERVICE.template, ServiceResource(store, version, limits))
    app.add_route(routes.KEYS.template, KeysResource(store, gates.sending))
    app.add_route(routes.MGET.template, MgetResource(store, gates))
    app.add_route(routes.TXN.template, TxnResource(store, gates.turns))
    for route, decode_key in (
        (routes.HISTORY, key_from_path),
        (routes.HISTORY64, key_from_base64url),
    ):
        resource = HistoryResource(store, gates.sending, route, decode_key)
        app.add_route(route.template, resource)
    app.add_route(routes.DIFF.template, DiffResource(store, gates.sending))
    app.add_route(routes.ROLLBACK.template, RollbackResource(store, gates))
    app.add_route(routes.RETENTION.template, RetentionResource(store))
    app.add_route(routes.EXPORT.template, ExportResource(store, gates))
    app.add_route(routes.IMPORT.template, ImportResource(store))
    app.add_route(routes.STATS.template, StatsResource(store))
    app.add_route(routes.COMPACT.template, CompactResource(store))
    app.add_route(routes.BACKUPS.template, BackupsResource(store))
    app.add_route(routes.BACKUP.template, BackupResource(store))
    app.add_route(routes.BACKUP_FILE.template, BackupFileResource(store, gates.sending))
    app.add_route(routes.METRICS.template, MetricsResource(store, readiness, version))
    app.add_route(routes.LIVEZ.template, LiveResource())
    app.add_route(routes.READYZ.template, ReadyResource(readiness))


@functools.lru_cache(maxsize=4)  # tests make thousands of applications in one process
def _openapi_resource(limits: Limits, feeds: FeedLimits) -> FixedResource:
    return FixedResource(openapi_document(software_version(), limits, feeds))


_assets = functools.cache(read_assets)


def _add_pages(app: falcon.App[falcon.Request, falcon.Response], *, with_dashboard: bool) -> None:
    welcome = _welcome(software_version())
    if not with_dashboard:
        app.add_route(routes.ROOT.template, FixedResource(welcome))
        return
    assets = _assets()
    app.add_route(routes.ROOT.template, RootResource(welcome))
    app.add_route(routes.UI.template, PageResource(assets))
    app.add_route(routes.UI_BARE.template, RedirectResource())
    app.add_route(routes.UI_FILE.template, FileResource(assets))


def get_app() -> MeasuredApp:
    """Return the application that the environment describes, with its store open.

    Raises:
        SettingError: a variable cannot be read.
        StoreError: the store does not open.
    """
    settings = ServerSettings.from_environ(os.environ)
    shared = SharedCounters(settings.counters_path)
    start_heartbeat(shared)
    return create_configured_app(open_configured_store(settings, shared), settings, shared)


def get_service(waits: Waits) -> Service:
    """Return the application for a server with an event loop, whose requests wait with ``waits``.

    Raises:
        SettingError, StoreError: see ``get_app``.
    """
    settings = ServerSettings.from_environ(os.environ)
    shared = SharedCounters(settings.counters_path)
    store = open_configured_store(settings, shared)
    app = create_configured_app(store, settings, shared, waits)
    return service_of(app, store, settings.limits, functools.partial(beat, shared))


def create_configured_app(
    store: Store, settings: ServerSettings, shared: SharedCounters, waits: Waits = IN_THREAD
) -> MeasuredApp:
    """Return the application over an open store, with the tokens that the settings name.

    Raises:
        StoreError, OSError: see ``TokenStore.watch`` and ``create_app``.
    """
    tokens = open_tokens(settings.store, settings.tokens_path)
    source = None if tokens is None else tokens.watch()
    counters = OperationCounters(shared)
    return create_app(store, settings, counters, source, token_store=tokens, waits=waits)


def _welcome(version: str) -> dict[str, object]:
    return {
        "name": "rundlet",
        "version": version,
        "see": {
            "service": routes.SERVICE.path,
            "keys": routes.KEYS.path,
            "openapi": routes.OPENAPI.path,
        },
    }


def open_configured_store(settings: ServerSettings, shared: SharedCounters | None = None) -> Store:
    """Open the store that the settings name.

    Args:
        settings: the settings of the server.
        shared: counters in which the store keeps what it measures.

    Raises:
        StoreError: it does not open.
    """
    options = StoreOptions(
        settings.of_store(), any_key=settings.any_key, skip_bad=settings.skip_bad
    )
    return open_store(settings.store, options, Measures(shared))
