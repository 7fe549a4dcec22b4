"""Write the keys of a benchmark before it, and remove them after it, even if it fails."""

from __future__ import annotations

import random
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rundlet import Delete, Put
from rundlet_server.cli.bench.mix import KeySpace
from rundlet_server.cli.exits import CommandError, ExitCode, exit_code_of, message_of
from rundlet_server.cli.place.target import Target
from rundlet_server.cli.show.progress import RowProgress

_BATCH_KEYS_MAX = 500
_BATCH_BYTES_MAX = 4 * 1024 * 1024
_LOAD_SEED = 2
_REFUSALS = frozenset({ExitCode.NOT_ALLOWED, ExitCode.USAGE})
"""The exit codes of a write that certainly stored nothing."""


class _FirstWriteRefused(Exception):
    """The store refused the first write, so no key of the benchmark is there."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


def new_prefix() -> str:
    """Return a prefix that no other benchmark uses."""
    return f"rundlet-bench/{secrets.token_hex(8)}/"


@contextmanager
def stored_keys(target: Target, keys: KeySpace, value_size: int) -> Iterator[None]:
    """Give each key a value; at the end remove all keys under their prefix, and no others.

    The keys are also removed after an error, after Ctrl-C and after SIGTERM.

    Raises:
        CommandError: the keys could not be removed; the message says how to remove them.
    """
    with _ended_like_ctrl_c():
        batch_keys = _batch_keys(target.info(), value_size)
        try:
            _load(target, keys, random.Random(_LOAD_SEED).randbytes(value_size), batch_keys)
            yield
        except _FirstWriteRefused as ex:
            raise ex.reason from None  # there is nothing to remove
        except BaseException:
            _remove_or_tell(target, keys.prefix, batch_keys)
            raise
        _remove_or_tell(target, keys.prefix, batch_keys)


def _batch_keys(info: Mapping[str, object], value_size: int) -> int:
    """Return how many keys fit into one transaction."""
    limits = info.get("limits")
    ops_max, bytes_max = _BATCH_KEYS_MAX, _BATCH_BYTES_MAX
    if isinstance(limits, Mapping):
        ops_max = min(ops_max, int(limits.get("txn_ops_max", ops_max)))
        bytes_max = min(bytes_max, int(limits.get("txn_bytes_max", bytes_max)) // 2)
    return max(1, min(ops_max, bytes_max // (value_size + 100)))


def _load(target: Target, keys: KeySpace, value: bytes, batch_keys: int) -> None:
    with RowProgress("loading", "keys") as progress:
        progress.begin(len(list(keys)))
        for number, batch in enumerate(_batches(list(keys), batch_keys)):
            try:
                _write(target, batch, value)
            except Exception as ex:
                if number == 0 and exit_code_of(ex) in _REFUSALS:
                    raise _FirstWriteRefused(ex) from ex
                raise
            progress.advance(len(batch))


def _write(target: Target, batch: Sequence[str], value: bytes) -> None:
    if len(batch) == 1:  # a value may be larger than a transaction may be
        target.set(batch[0], value)
    else:
        target.txn([Put(key, value) for key in batch])


def _remove_or_tell(target: Target, prefix: str, batch_keys: int) -> None:
    # xargs alone would put more keys into one transaction than most stores take.
    command = f"rundlet ls {prefix} | xargs -n {batch_keys} rundlet del"
    what = f"keys under {prefix} are left; remove them: {command} (with the same --url or --data)"
    try:
        _remove(target, prefix, batch_keys)
    except KeyboardInterrupt:
        sys.stderr.write(f"rundlet: {what}\n")
        raise
    except Exception as ex:
        message = f"{message_of(ex)}; {what}"
        raise CommandError(message, exit_code_of(ex) or ExitCode.UNREACHABLE) from ex


def _remove(target: Target, prefix: str, batch_keys: int) -> None:
    # Repeat until there are none: a write whose answer was lost may still arrive.
    while left := [info.key for info in target.scan(prefix=prefix)]:
        for batch in _batches(left, batch_keys):
            target.txn([Delete(key) for key in batch])


def _batches(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does, so that the keys are removed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
