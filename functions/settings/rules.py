"""The rules between the settings of ``rundlet serve``: dependent defaults and conflicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rundlet_server.functions.settings.connections import header_bytes_needed
from rundlet_server.functions.settings.reading import Found, GivenOptions, SettingError, read
from rundlet_server.functions.settings.rows import with_value
from rundlet_server.functions.settings.table import SETTINGS, ServeOptions
from rundlet_server.storage.address import StoreAddress

_EXPORTS_IN_LOOP = 8


def serve_options(
    given: GivenOptions, environ: Mapping[str, str], *, is_terminal: bool
) -> Found[ServeOptions]:
    """Return the settings of a server that starts with these options in this environment.

    Args:
        given: the options.
        environ: the environment.
        is_terminal: whether a person reads the log as it is written.

    Raises:
        SettingError: a setting cannot be read, or two contradict each other.
    """
    found = read(ServeOptions(), environ, given)
    options = _with_server(Found(_with_store(found), found.sources))
    _require_agreement(options)
    if found.sources["settings", "log_format"] == "default" and not is_terminal:
        options = with_value(options, ("settings", "log_format"), "json")
    return Found(_with_limits(options), found.sources)


def with_file(options: ServeOptions, file: Path | None) -> ServeOptions:
    """Serve this text file as the store if the server is read-only; otherwise load it first.

    Raises:
        SettingError: the server is read-only and has a store, too.
    """
    if file is not None and options.settings.read_only:
        _require_no_store(options.settings.store_address, file)
        return replace(options, settings=replace(options.settings, read_only_file=file))
    return replace(options, load_path=file)


def _require_no_store(address: StoreAddress | None, file: Path) -> None:
    if address is not None:
        raise SettingError(
            f"--store {address.shown} and {file} would both be served as they are; leave one out"
        )


def _with_store(found: Found[ServeOptions]) -> ServeOptions:
    """Choose between ``--store`` and ``--data``, and set what the scheme of the store implies."""
    options = found.instance
    store, data = (found.sources["settings", name] for name in ("store_address", "data_path"))
    if store == data != "default":
        raise SettingError("--store and --data name two stores; leave one out")
    if store == "option" and options.in_memory:
        raise SettingError("--store and --in-memory name two stores; leave one out")
    address = options.settings.store_address
    if address is None or (store == "environment" and (data == "option" or options.in_memory)):
        return with_value(options, ("settings", "store_address"), None)
    if address.scheme == "memory":
        return replace(with_value(options, ("settings", "store_address"), None), in_memory=True)
    if address.scheme == "file":
        return with_value(options, ("settings", "read_only"), True)
    return options


def _with_server(found: Found[ServeOptions]) -> ServeOptions:
    """Choose the WSGI server, and apply its defaults."""
    options = found.instance
    if found.sources["server",] == "default" and options.workers > 1:
        options = replace(options, server="granian")
    for row in SETTINGS:
        if found.sources[row.path] == "default" and options.server in row.by_server:
            options = with_value(options, row.path, row.by_server[options.server])
    return options


def _with_limits(options: ServeOptions) -> ServeOptions:
    """Set the limits that depend on other settings."""
    settings = options.settings
    needed = header_bytes_needed(settings.limits.key_bytes_max)
    connections = replace(
        settings.connections, header_bytes_max=max(settings.connections.header_bytes_max, needed)
    )
    is_threaded = options.server == "waitress"  # there, each export keeps a thread
    exports_max = max(1, options.threads // 4) if is_threaded else _EXPORTS_IN_LOOP
    settings = replace(
        settings, connections=connections, exports_max=settings.exports_max or exports_max
    )
    return replace(options, settings=settings)


def _require_agreement(options: ServeOptions) -> None:
    if options.workers > 1 and options.server == "waitress":
        raise SettingError(
            "waitress is one process; for more than one worker, add --server granian"
        )
    if options.in_memory and options.settings.read_only:
        raise SettingError("--in-memory with --read-only would serve an empty store; leave one out")
    if (options.tls_cert is None) != (options.tls_key is None):
        raise SettingError("--tls-cert and --tls-key belong together; give both")
    if options.tls_cert is not None and options.server == "waitress":
        raise SettingError(
            "waitress speaks no TLS; add --server granian, or put nginx in front of the server"
        )
