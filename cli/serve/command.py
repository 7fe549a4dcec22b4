"""``rundlet serve``: the options of a server, read and handed to ``server``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from rundlet_server.cli.serve.options import (
    AllowHostOption,
    BodyTimeoutOption,
    CorsOriginOption,
    HeaderTimeoutOption,
    IdleTimeoutOption,
    MaxConnectionsOption,
    MaxHeaderBytesOption,
    TlsCertOption,
    TlsKeyOption,
    connection_limits,
    cors_origins,
    tls_files,
)
from rundlet_server.cli.show.panels import Panel
from rundlet_server.cli.show.times import seconds_of
from rundlet_server.functions.settings import LogFormat, ServerSettings, SyncPolicy
from rundlet_server.storage.interface import Limits

commands = typer.Typer()

_LIMITS_PANEL: Final = "Limits"
_HISTORY_PANEL: Final = "History"
_ACCESS_PANEL: Final = "Access"
_LOG_PANEL: Final = "Log"
_DEFAULT: Final = Limits()
_THREADS: Final = {"waitress": 16, "granian": 32}  # docs/decisions/server-processes.md

ServerName = Literal["waitress", "granian"]


def _limit(name: str, variable: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        name, envvar=variable, min=1, rich_help_panel=_LIMITS_PANEL, help=text
    )
    return option


@commands.command(
    "serve", rich_help_panel=Panel.SERVER, epilog="Example: rundlet serve example.data --port 9000"
)
def serve(
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True, dir_okay=False, help="A key-value text file to load first, once."
        ),
    ] = None,
    *,
    data: Annotated[Path, typer.Option(envvar="RUNDLET_DATA", help="The store's folder.")] = Path(
        "data"
    ),
    host: Annotated[
        str, typer.Option(envvar="RUNDLET_HOST", help="Name or address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", envvar="PORT", min=0, max=65_535, help="0 picks one.")
    ] = 8000,
    server: Annotated[
        ServerName | None,
        typer.Option(
            envvar="RUNDLET_SERVER",
            help="waitress: one process. granian: fast, many.",
            show_default="waitress; granian with --workers",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(envvar="RUNDLET_WORKERS", min=1, max=256, help="Processes (granian).")
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            envvar="RUNDLET_THREADS",
            min=1,
            max=1_024,
            help="Requests each process works on at a time.",
            show_default="waitress 16, granian 32",
        ),
    ] = None,
    sync: Annotated[
        SyncPolicy,
        typer.Option(envvar="RUNDLET_SYNC", help="When writes reach the disk."),
    ] = "always",
    sync_interval: Annotated[
        str,
        typer.Option(
            envvar="RUNDLET_SYNC_INTERVAL",
            metavar="TIME",
            help="For --sync interval.",
        ),
    ] = "1s",
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only", envvar="RUNDLET_READ_ONLY", help="Refuse writes; FILE is served as is."
        ),
    ] = False,
    in_memory: Annotated[
        bool,
        typer.Option("--in-memory", help="No folder: everything goes when the server ends."),
    ] = False,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="RUNDLET_INSECURE",
            help="Let other machines in, without any check.",
        ),
    ] = False,
    tokens: Annotated[
        Path | None,
        typer.Option(
            envvar="RUNDLET_TOKENS",
            metavar="DIR",
            file_okay=False,
            rich_help_panel=_ACCESS_PANEL,
            help="The tokens' folder.",
            show_default="that of --data",
        ),
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(
            envvar="RUNDLET_AUDIT",
            metavar="FILE",
            dir_okay=False,
            rich_help_panel=_ACCESS_PANEL,
            help="Where the audit trail goes, kept while there are tokens.",
            show_default="stderr",
        ),
    ] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            envvar="RUNDLET_LOG_FORMAT",
            rich_help_panel=_LOG_PANEL,
            help="How failed and slow requests are logged, on stderr.",
            show_default="text on a terminal, else json",
        ),
    ] = None,
    slow_ms: Annotated[
        float,
        typer.Option(
            envvar="RUNDLET_SLOW_MS",
            min=0,
            rich_help_panel=_LOG_PANEL,
            help="Requests that take so long are slow; 0 logs every one.",
        ),
    ] = 1_000,
    any_key: Annotated[
        bool, typer.Option("--any-key", help="Keys in FILE need not be UUIDs.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out bad lines of FILE.")
    ] = False,
    keep_versions: Annotated[
        int,
        typer.Option(
            envvar="RUNDLET_KEEP_VERSIONS",
            min=1,
            rich_help_panel=_HISTORY_PANEL,
            help="Versions kept of each key.",
        ),
    ] = 1,
    keep_for: Annotated[
        str,
        typer.Option(
            envvar="RUNDLET_KEEP_FOR",
            metavar="TIME",
            rich_help_panel=_HISTORY_PANEL,
            help="How long everything is kept.",
        ),
    ] = "1h",
    max_uploads: Annotated[
        int | None,
        typer.Option(
            envvar="RUNDLET_MAX_UPLOADS",
            min=1,
            rich_help_panel=_LIMITS_PANEL,
            help="Bodies that each process waits for at a time (granian).",
            show_default="half of the threads",
        ),
    ] = None,
    max_key_bytes: Annotated[
        int, _limit("--max-key-bytes", "RUNDLET_MAX_KEY_BYTES", "Longest key.")
    ] = _DEFAULT.key_bytes_max,
    max_value_bytes: Annotated[
        int, _limit("--max-value-bytes", "RUNDLET_MAX_VALUE_BYTES", "Largest value.")
    ] = _DEFAULT.value_bytes_max,
    max_txn_ops: Annotated[
        int, _limit("--max-txn-ops", "RUNDLET_MAX_TXN_OPS", "Operations in a transaction.")
    ] = _DEFAULT.txn_ops_max,
    max_txn_bytes: Annotated[
        int, _limit("--max-txn-bytes", "RUNDLET_MAX_TXN_BYTES", "Bytes in a transaction.")
    ] = _DEFAULT.txn_bytes_max,
    max_list_keys: Annotated[
        int, _limit("--max-list-keys", "RUNDLET_MAX_LIST_KEYS", "Keys on a page or in an mget.")
    ] = _DEFAULT.list_keys_max,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    cors_origin: CorsOriginOption = None,
    allow_host: AllowHostOption = None,
    max_connections: MaxConnectionsOption = None,
    max_header_bytes: MaxHeaderBytesOption = None,
    header_timeout: HeaderTimeoutOption = "15s",
    body_timeout: BodyTimeoutOption = "30s",
    idle_timeout: IdleTimeoutOption = "75s",
) -> None:
    """Run the server."""
    # Falcon, waitress and the engine: slow to load, and no other command needs them all.
    from rundlet_server.server import run  # noqa: PLC0415 # see above

    name = _server_name(server, workers)
    threads = threads or _THREADS[name]
    options = run.ServeOptions(
        settings=ServerSettings(
            data_path=data,
            sync=sync,
            sync_interval_s=seconds_of("--sync-interval", sync_interval),
            keep_versions=keep_versions,
            keep_for_s=seconds_of("--keep-for", keep_for),
            read_only=read_only,
            read_only_file=file if read_only else None,
            any_key=any_key,
            skip_bad=skip_bad,
            tokens_path=tokens,
            audit_path=audit,
            log_format=log_format or ("text" if sys.stderr.isatty() else "json"),
            slow_s=slow_ms / 1_000,
            # waitress has read the whole body before it takes a thread.
            uploads_max=(max_uploads or max(1, threads // 2)) if name == "granian" else None,
            cors_origins=cors_origins(cors_origin),
            host_names=tuple(allow_host or ()),
            connections=connection_limits(
                name,
                (max_connections, max_header_bytes),
                (header_timeout, body_timeout, idle_timeout),
                max_key_bytes,
            ),
            limits=Limits(
                key_bytes_max=max_key_bytes,
                value_bytes_max=max_value_bytes,
                txn_ops_max=max_txn_ops,
                txn_bytes_max=max_txn_bytes,
                list_keys_max=max_list_keys,
            ),
        ),
        host=host,
        port=port,
        server=name,
        workers=workers,
        threads=threads,
        tls=tls_files(name, tls_cert, tls_key),
        load_path=None if read_only else file,
        in_memory=_checked_in_memory(in_memory, read_only),
        insecure=insecure,
    )
    run.serve(options, run.Telling(_say, _load_progress))


def _server_name(server: ServerName | None, workers: int) -> ServerName:
    if workers > 1 and server == "waitress":
        raise typer.BadParameter("waitress is one process; take --server granian for --workers")
    return server or ("granian" if workers > 1 else "waitress")


def _checked_in_memory(in_memory: bool, read_only: bool) -> bool:
    if in_memory and read_only:
        raise typer.BadParameter("--in-memory with --read-only would serve nothing")
    return in_memory


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _load_progress() -> Iterator[Callable[[int, int, int], None]]:
    """A bar on a terminal, nothing elsewhere; told bytes done, bytes in all, and lines."""
    columns = (
        TextColumn("loading"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, lines: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{lines:,} lines")

        yield show
