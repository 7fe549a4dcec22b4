"""Sort many keys at once: numpy has no order of byte strings of different lengths.

Keys are compared eight bytes at a time, as numbers. After each round only the keys that are equal
so far go on, so that random keys take one round, and a common beginning costs a round per eight
bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_WINDOW: Final = 8

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def sort_keys(keys: Bytes, ends: Places) -> tuple[Places, Flags]:
    """Sort keys that lie one after the other.

    Args:
        keys: the bytes of all keys.
        ends: where each key ends.

    Returns:
        The keys' numbers in ascending order of the keys, equal keys in the order given; and
        for each of them whether the one behind it is the same key.
    """
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]]) if len(ends) else ends
    lengths = ends - starts
    padded = np.append(keys, np.zeros(_WINDOW, np.uint8))
    order = np.arange(len(ends))
    is_same_as_next = np.zeros(len(ends), np.bool_)
    pending = np.arange(len(ends))  # places in ``order`` that are not decided yet ...
    groups = np.zeros(len(ends), np.int64)  # ... and the group of equal keys that each is in
    depth = 0
    while len(pending):
        rows = order[pending]
        left = np.clip(lengths[rows] - depth, 0, _WINDOW).astype(np.uint8)
        numbers = _numbers(padded, starts[rows] + depth, left)
        by_key = np.lexsort((left, numbers, groups))
        order[pending] = rows[by_key]
        left, numbers, groups = left[by_key], numbers[by_key], groups[by_key]
        is_equal = (groups[1:] == groups[:-1]) & (numbers[1:] == numbers[:-1])
        is_equal &= left[1:] == left[:-1]
        is_over = left[:-1] < _WINDOW  # both keys end here
        is_same_as_next[pending[:-1]] = is_equal & is_over
        goes_on = is_equal & ~is_over
        is_pending = np.append(goes_on, False) | np.insert(goes_on, 0, False)
        groups = np.cumsum(np.insert(~is_equal, 0, True))[is_pending]
        pending = pending[is_pending]
        depth += _WINDOW
    return order, is_same_as_next


def gather_keys(keys: Bytes, ends: Places, order: Places) -> Bytes:
    """Return the bytes of the keys with these numbers, one after the other in this order."""
    size = int(ends[0]) if len(keys) else 0
    if size and len(keys) == size * len(ends) and (np.diff(ends) == size).all():
        return keys.reshape(-1, size)[order].reshape(-1)
    view = keys.data
    key_ends = ends[order].tolist()
    key_starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[order].tolist()
    slices = zip(key_starts, key_ends, strict=True)
    return np.frombuffer(b"".join([view[start:end] for start, end in slices]), np.uint8)


def _numbers(padded: Bytes, starts: Places, left: Bytes) -> npt.NDArray[np.uint64]:
    """Return the next bytes of each key, of which ``left`` are its own, as a sortable number."""
    places = np.minimum(starts, len(padded) - _WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[places]
    numbers = np.ascontiguousarray(windows).view(">u8").reshape(-1).astype(np.uint64)
    unused_bits = (_WINDOW - left.astype(np.uint64)) * np.uint64(8)
    # A shift by 64 is undefined: keys with nothing left are zero.
    is_over = left == 0
    unused_bits[is_over] = 0
    kept: npt.NDArray[np.uint64] = numbers >> unused_bits << unused_bits
    kept[is_over] = 0
    return kept
