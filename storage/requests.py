"""Checks of requests that mean the same for every backend."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

from rundlet_server.storage.bounds import (
    CONTENT_TYPE_BYTES_MAX,
    EXPIRES_US_MAX,
    KEEP_FOR_S_MAX,
    KEEP_VERSIONS_MAX,
    NUMBER_MAX,
    OF_ENGINES,
    TTL_S_MAX,
)
from rundlet_server.storage.errors import (
    FailedCondition,
    InvalidKey,
    InvalidOperation,
    InvalidRequest,
    LimitExceeded,
    NotSupported,
)
from rundlet_server.storage.interface import (
    Add,
    Condition,
    Delete,
    Entry,
    Feature,
    Limits,
    Op,
    Put,
    Restore,
    StoreInfo,
    Touch,
    Txn,
)
from rundlet_server.storage.large_values import Admit
from rundlet_server.storage.metadata import Metadata, check_metadata, metadata_bytes
from rundlet_server.storage.timeline import Retention

NUMBER_BYTES_MAX: Final = 1_000
"""A value above this is no number, whatever it holds."""
_NUMBER: Final = re.compile(rb"[+-]?[0-9]+")
_WITH_TTL: Final = (Put, Touch, Restore)


def encode_key(key: str, limits: Limits) -> bytes:
    """Return the UTF-8 bytes of a key.

    Raises:
        InvalidKey: the key is empty or has no UTF-8 form.
        LimitExceeded: the key is too long.
    """
    try:
        encoded = key.encode()
    except UnicodeEncodeError as ex:
        raise InvalidKey(f"the key cannot be encoded as UTF-8: {ex.reason}") from ex
    if not encoded:
        raise InvalidKey("the key is empty; a key has at least one byte")
    if len(encoded) > limits.key_bytes_max:
        raise LimitExceeded("key_bytes_max", limits.key_bytes_max, len(encoded))
    return encoded


def require_feature(info: StoreInfo, feature: Feature) -> None:
    """Refuse what a store's backend cannot do.

    Raises:
        NotSupported: the backend lacks the feature.
    """
    if feature not in info.features:
        raise NotSupported(info.backend, feature)


def restores(txn: Txn) -> bool:
    """Return whether a transaction needs history, in either of its two lists."""
    return any(isinstance(op, Restore) for op in (*txn.then, *(txn.otherwise or ())))


def check_txn(txn: Txn, limits: Limits, encode: Callable[[str], bytes] | None = None) -> None:
    """Refuse a transaction that no store of these limits takes.

    Args:
        txn: the transaction.
        limits: of the store.
        encode: encodes a key that no operation writes a value to; it may exceed the limit if the
            store has it already.

    Raises:
        InvalidKey, LimitExceeded, InvalidOperation: see ``storage.errors``.
    """
    if not txn.conditions and not txn.otherwise and _are_plain_puts(txn.then, limits):
        return
    encode = encode or functools.partial(encode_key, limits=limits)
    for condition in txn.conditions:
        encode(condition.key)
    for ops in (txn.then, txn.otherwise or ()):
        if not _are_plain_puts(ops, limits):
            _check_ops(ops, limits, encode)


def failed_conditions(
    conditions: Sequence[Condition], find: Callable[[bytes], tuple[int, int]]
) -> tuple[FailedCondition, ...]:
    """Return the conditions that do not hold, in order.

    Args:
        conditions: of a transaction.
        find: returns revision and version of a key; 0 and 0 if it has no value.
    """
    failed = []
    for index, condition in enumerate(conditions):
        revision, version = find(condition.key.encode())
        holds = (
            (condition.exists is None or condition.exists == (revision != 0))
            and condition.version in (None, version)
            and (condition.revisions is None or revision in condition.revisions)
            and (condition.not_revisions is None or revision not in condition.not_revisions)
        )
        if not holds:
            failed.append(FailedCondition(index, condition.key, revision))
    return tuple(failed)


def added(index: int, op: Add, value: bytes | None) -> int:
    """Return the number that an operation makes of the value of its key; ``None`` is too large.

    Raises:
        InvalidOperation: the value is no decimal number, or the sum does not fit into 64 bits.
    """
    if value is None or len(value) > NUMBER_BYTES_MAX or not _NUMBER.fullmatch(value):
        raise InvalidOperation(index, f"the value of {op.key!r} is not a decimal number")
    number = int(value) + op.by
    if not -NUMBER_MAX - 1 <= number <= NUMBER_MAX:
        raise InvalidOperation(index, f"the number in {op.key!r} would not fit into 64 bits")
    return number


def check_answer(sizes: Collection[int], limits: Limits, admit: Admit | None) -> None:
    """Refuse to read too many bytes for one answer; ``sizes`` are of its items, key and value.

    Raises:
        LimitExceeded: they are too large together. A single item is never refused.
    """
    size = sum(sizes)
    if size > limits.answer_bytes_max and len(sizes) > 1:
        raise LimitExceeded("answer_bytes_max", limits.answer_bytes_max, size)
    if admit is not None:
        admit(size)


def shown_bytes(entry: Entry) -> int:
    """Return how many bytes a value adds to an answer that shows it, beside its key."""
    size = len(entry.value)
    return size + metadata_bytes(entry.metadata) if entry.metadata else size


def require_reached(at: int, head: int) -> None:
    """Refuse a revision that no commit has reached yet.

    Raises:
        InvalidRequest: the revision is above the head.
    """
    if at > head:
        raise InvalidRequest(f"revision {at} does not exist yet; the head is {head}")


def require_past(time_us: int, now_us: int) -> None:
    """Refuse a time that has not come yet.

    Raises:
        InvalidRequest: the time is after now.
    """
    if time_us > now_us:
        raise InvalidRequest(f"that time is {(time_us - now_us) / 1e6:.6f} seconds in the future")


def check_retention(retention: Retention) -> None:
    """Refuse a retention that no store can have.

    Raises:
        InvalidRequest: a number is out of bounds.
    """
    if not 1 <= retention.keep_versions <= KEEP_VERSIONS_MAX:
        raise InvalidRequest(f"keep_versions is {retention.keep_versions}; keep at least 1")
    if not 0 <= retention.keep_for_s <= KEEP_FOR_S_MAX:
        raise InvalidRequest(
            f"keep_for_s is {retention.keep_for_s}; write 0 to {KEEP_FOR_S_MAX} seconds (100 years)"
        )


def _are_plain_puts(ops: Sequence[Op], limits: Limits) -> bool:
    """Return whether these are plain puts, all of which ``_check_ops`` would accept.

    This costs half as much as ``_check_ops``, and false decides nothing.
    """
    key_bytes_max, value_bytes_max = limits.key_bytes_max, limits.value_bytes_max
    keys = set()
    size = 0
    for op in ops:
        if type(op) is not Put or op.ttl_s is not None or op.expires_us is not None:
            return False
        key, value_size, content_type = op.key, len(op.value), op.content_type
        key_size = len(key)
        is_plain = (
            key.isascii()
            and 0 < key_size <= key_bytes_max
            and value_size <= value_bytes_max
            and content_type.isascii()
            and len(content_type) <= CONTENT_TYPE_BYTES_MAX
            and not op.metadata
        )
        if not is_plain:
            return False
        keys.add(key)
        size += key_size + value_size
    return len(keys) == len(ops) <= limits.txn_ops_max and size <= limits.txn_bytes_max


def _check_ops(ops: Sequence[Op], limits: Limits, encode: Callable[[str], bytes]) -> None:
    if len(ops) > limits.txn_ops_max:
        raise LimitExceeded("txn_ops_max", limits.txn_ops_max, len(ops))
    seen: set[bytes] = set()
    size = 0
    for index, op in enumerate(ops):
        key = encode(op.key) if isinstance(op, Delete) else encode_key(op.key, limits)
        if key in seen:
            raise InvalidOperation(index, f"a transaction may write the key {op.key!r} only once")
        seen.add(key)
        size += len(key)
        if isinstance(op, Put):
            _check_put(index, op, limits)
            size += len(op.value) + metadata_bytes(op.metadata)
        if isinstance(op, Restore) and (op.version is None) == (op.revision is None):
            raise InvalidOperation(index, "a restore names a version or a revision, one of the two")
        ttl_s = op.ttl_s if isinstance(op, _WITH_TTL) else None
        if ttl_s is not None and not 0 < ttl_s <= TTL_S_MAX:
            raise InvalidOperation(
                index, f"a time to live is above 0 and at most {TTL_S_MAX} seconds (100 years)"
            )
    if size > limits.txn_bytes_max and len(ops) > 1:
        raise LimitExceeded("txn_bytes_max", limits.txn_bytes_max, size)


def _check_put(index: int, op: Put, limits: Limits) -> None:
    if op.expires_us is not None:
        if op.ttl_s is not None:
            raise InvalidOperation(index, "a put has a time to live or a time of expiry, not both")
        if not 0 < op.expires_us <= EXPIRES_US_MAX:
            raise InvalidOperation(
                index, "a time of expiry is after 1970 and before the year 10000"
            )
    if len(op.value) > limits.value_bytes_max:
        raise LimitExceeded("value_bytes_max", limits.value_bytes_max, len(op.value))
    content_type_bytes = len(op.content_type.encode())
    if content_type_bytes > CONTENT_TYPE_BYTES_MAX:
        raise LimitExceeded("content_type_bytes_max", CONTENT_TYPE_BYTES_MAX, content_type_bytes)
    if op.metadata:
        _check_metadata(index, op.metadata)


def _check_metadata(index: int, metadata: Metadata) -> None:
    try:
        check_metadata(metadata)
    except LimitExceeded:
        raise
    except InvalidRequest as ex:
        raise InvalidOperation(index, str(ex)) from ex


def within(backend: str, wanted: Limits) -> Limits:
    """Return limits, lowered to what an engine in its default configuration can keep."""
    own = OF_ENGINES.get(backend, {})
    lowered = {name: min(getattr(wanted, name), most) for name, most in own.items()}
    return dataclasses.replace(wanted, **lowered)


def limits_reached(info: StoreInfo) -> frozenset[str]:
    """Return the names of the limits that are as high as the engine of a store allows."""
    own = OF_ENGINES.get(info.backend, {})
    return frozenset(name for name, most in own.items() if getattr(info.limits, name) >= most)
