"""``serve``: the life of a server, from the options of the command line to its last process."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from rundlet_server.functions.app import (
    create_configured_app,
    get_service,
    open_configured_store,
)
from rundlet_server.functions.limits import body_bytes_max_at
from rundlet_server.functions.monitoring.logs import open_log
from rundlet_server.functions.settings import ServeOptions
from rundlet_server.server.errors import AuditError, ExposedError, GranianMissingError
from rundlet_server.server.greeting import first_steps, headline
from rundlet_server.server.helpers.hung import HungProcesses
from rundlet_server.server.helpers.needed import helpers
from rundlet_server.server.helpers.scratch import ScratchFolder
from rundlet_server.server.helpers.watchdog import Watchdog
from rundlet_server.server.helpers.watched import WatchedProcess
from rundlet_server.server.listen.address import HeldPort, is_loopback, require_address
from rundlet_server.server.listen.tls import TlsFiles, load_tls_files
from rundlet_server.server.signals import STOP_SIGNALS, is_ignored
from rundlet_server.server.waitress.server import GracefulServer
from rundlet_server.storage.address import MEMORY, StoreAddress
from rundlet_server.storage.counting.counters import SharedCounters
from rundlet_server.storage.counting.heartbeat import start_heartbeat
from rundlet_server.storage.interface import Store
from rundlet_server.storage.memory.allocator import keep_little_free
from rundlet_server.storage.memory.collector import relax_collector
from rundlet_server.storage.memory.trimming import trim_often
from rundlet_server.storage.notices.messages import write_messages
from rundlet_server.storage.textfile.loading import Progress, load_text_file
from rundlet_server.storage.tokens.opening import open_tokens

_COUNTERS: Final = "counters"
_FILES_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Telling:
    """How a server reports to a person.

    Attributes:
        say: show a line.
        load_progress: show the progress of loading a file while the block runs.
    """

    say: Callable[[str], None]
    load_progress: Callable[[], contextlib.AbstractContextManager[Progress]]


def serve(options: ServeOptions, telling: Telling) -> None:
    """Run a server until a signal ends it; must be called in the main thread.

    1. Check for conditions that make the server unsafe or useless: no tokens although other
       machines can reach it, an audit trail that cannot be written, a certificate that no client
       would accept.
       Then bind the port, so that a second server stops here, before it touches the folder.
    2. Create the private folder with the counters (and the store of ``in_memory``).
    3. Open the store: one process reports damage here, instead of every worker.
    4. Start the helpers that this store needs.
    5. Load the file while maintenance indexes it, so that a server killed later starts quickly.
    6. Serve, and report it once connections are accepted.
    7. Undo steps 4 to 1 in that order, even if serving ended with an error.

    Raises:
        AuditError: the file for the audit trail cannot be opened.
        ExposedError: other machines could reach a server without tokens; see ``insecure``.
        GranianMissingError: the options name Granian, and it is not installed.
        PortError: the port is in use or not allowed, or the host does not exist.
        TlsError: the certificate or its key cannot be used.
        StoreError: the store does not open, or refuses the file.
    """
    tls = _tls_files(options)
    has_tokens = _has_tokens(options)
    options = _with_access(options, has_tokens=has_tokens)
    if options.settings.audit_path is not None:
        _require_audit(options.settings.audit_path)
    write_messages()
    _allow_many_files()
    keep_little_free()
    relax_collector()
    trim_often()
    for number in STOP_SIGNALS:
        if number != signal.SIGINT and not is_ignored(number):  # SIGINT raises KeyboardInterrupt
            signal.signal(number, _unwind)
    with contextlib.ExitStack() as stack:
        # Before everything else, because loading a file may take minutes.
        watchdog = stack.enter_context(Watchdog(os.environ))
        port = stack.enter_context(_held_port(options))
        scratch = stack.enter_context(ScratchFolder())
        life = _Life(_with_scratch(options, scratch), tls, port, stack, telling, has_tokens)
        if options.server == "granian":
            life.run_granian()
        else:
            life.run_waitress(SharedCounters(scratch.path / _COUNTERS), watchdog)


def _tls_files(options: ServeOptions) -> TlsFiles | None:
    """Load and check the certificate and its key; return ``None`` for plain HTTP."""
    if options.tls_cert is None or options.tls_key is None:
        return None
    return load_tls_files(options.tls_cert, options.tls_key)


def _require_audit(path: Path) -> None:
    try:
        os.close(open_log(path))  # each worker opens it for itself
    except OSError as ex:
        raise AuditError(
            f"--audit is {str(path)!r}, which cannot be written ({ex.strerror}); name a file in a"
            " folder that exists, where this user may write"
        ) from ex


def _with_access(options: ServeOptions, *, has_tokens: bool) -> ServeOptions:
    """Decide which requests are admitted while there are no tokens.

    A server on a loopback address then admits all requests whose ``Host`` is one of its own names
    (``functions.access.hosts``). A server that other machines can reach admits no request, even
    after its last token was revoked. With ``--insecure`` it admits all requests, or, if names are
    given, all requests with these names.
    """
    require_address(options.host)
    is_local = is_loopback(options.host)
    is_open = options.insecure or is_local
    names = (*((options.host,) if is_local else ()), *options.settings.host_names)
    settings = replace(options.settings, open_without_tokens=is_open, host_names=names)
    if not is_open and not has_tokens:
        place = _token_place(settings.tokens_path or _address(options).folder)
        raise ExposedError(
            f"--host {options.host} can be reached from other machines, and anyone there could"
            f" read and change everything; create a token first: rundlet token add NAME --create"
            f"{place}"
            " (or add --insecure, if that is wanted)"
        )
    return replace(options, settings=settings)


def _has_tokens(options: ServeOptions) -> bool:
    tokens = open_tokens(_address(options), options.settings.tokens_path)
    if tokens is None:
        return False
    with contextlib.closing(tokens):
        return bool(tokens.read())


def _address(options: ServeOptions) -> StoreAddress:
    """Return the address of the store; a store in memory gets its folder later."""
    return StoreAddress.parse(MEMORY) if options.in_memory else options.settings.store


def _token_place(folder: Path | None) -> str:
    if folder is None:
        return " --data DIR, and serve with --tokens DIR"
    return f" --data {shlex.quote(str(folder))}"


def _held_port(options: ServeOptions) -> HeldPort:
    return HeldPort(options.host, options.port, scheme="https" if options.tls_cert else "http")


def _allow_many_files() -> None:
    """Raise the limit on descriptors; shells often set 1,024.

    Each connection and each segment takes a descriptor.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_MAX if hard == resource.RLIM_INFINITY else min(_FILES_MAX, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _unwind(_number: int, _frame: FrameType | None) -> NoReturn:
    """End the process on a signal before the server handles signals; ``with`` blocks clean up."""
    sys.exit(0)


def _with_scratch(options: ServeOptions, scratch: ScratchFolder) -> ServeOptions:
    settings = replace(options.settings, counters_path=scratch.path / _COUNTERS)
    if options.in_memory:
        scratch.remove_even_if_killed()
        address = StoreAddress.of_folder(scratch.path / "data")
        settings = replace(settings, store_address=address, sync="never")
    is_maintained = bool(helpers(settings.store, settings))
    return replace(options, settings=replace(settings, maintain_inline=not is_maintained))


@dataclass(frozen=True, slots=True)
class _Life:
    """One run of a server: steps 3 to 6 of ``serve``."""

    options: ServeOptions
    tls: TlsFiles | None
    port: HeldPort
    stack: contextlib.ExitStack
    telling: Telling
    has_tokens: bool

    def run_waitress(self, shared: SharedCounters, watchdog: Watchdog) -> None:
        """Serve in this process."""
        settings = self.options.settings
        start_heartbeat(shared)
        store = self.stack.enter_context(self._open_store(shared))
        app = create_configured_app(store, settings, shared)
        server = GracefulServer(
            app,
            self.port.listener,
            threads=self.options.threads + settings.feeds.feeds_max,
            body_limit=functools.partial(body_bytes_max_at, settings.limits),
            refuse=app.refuse,
            limits=settings.connections,
            quick=None if store.info.is_remote else app.answer_quickly,
        )
        watchdog.watch(server.is_moving)
        server.run(self._say_ready)

    def run_granian(self) -> None:
        """Serve in workers, which read their settings from the environment."""
        try:
            from rundlet_server.server.granian import server as granian_server  # noqa: PLC0415 # needs an optional package
            from rundlet_server.server.granian.waiting import POOL_THREADS  # noqa: PLC0415 # likewise
        except ImportError as ex:
            message = "--server granian needs the package granian: pip install 'rundlet[fast]'"
            raise GranianMissingError(message) from ex
        with self._open_store() as store:  # check that it opens, and load the file
            is_remote = store.info.is_remote  # each worker opens it for itself
        # The store has the retention now: a worker that starts later must not undo later changes.
        settings = replace(self.options.settings, keep_versions=None, keep_for_s=None)
        os.environ.update(settings.to_environ())
        threads = POOL_THREADS
        if is_remote:
            threads = self.options.threads + settings.feeds.feeds_max
        granian_server.run(
            get_service,
            self.port,
            workers=self.options.workers,
            threads=threads,
            on_ready=self._say_ready,
            limits=settings.connections,
            receiving_bytes_max=settings.receiving_bytes_max,
            tls=self.tls,
        )

    @contextlib.contextmanager
    def _open_store(self, shared: SharedCounters | None = None) -> Iterator[Store]:
        """Open the store, start its helpers and load the file; close the store at the end."""
        with contextlib.closing(open_configured_store(self.options.settings, shared)) as store:
            self._start_helpers()
            if self.options.load_path is not None:
                self._load(store, self.options.load_path)
            yield store

    def _load(self, store: Store, path: Path) -> None:
        settings = self.options.settings
        with self.telling.load_progress() as progress:
            report = load_text_file(
                store,
                path,
                any_key=settings.any_key,
                skip_bad=settings.skip_bad,
                progress=progress,
                folder=settings.store.folder,
            )
        self.telling.say(str(report))

    def _start_helpers(self) -> None:
        settings = self.options.settings
        for helper in helpers(settings.store, settings):
            self.stack.enter_context(WatchedProcess(helper.name, helper.command))
        if settings.counters_path is not None:
            self.stack.enter_context(HungProcesses(settings.counters_path))

    def _say_ready(self) -> None:
        address = self.port.address
        self.telling.say(headline(self.options, address))
        if sys.stderr.isatty():
            steps = first_steps(self.options.settings, address, has_tokens=self.has_tokens)
            self.telling.say(steps)
