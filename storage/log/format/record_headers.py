"""The headers of many records or frames at once, as numpy sees them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from rundlet_server.storage.files import Buffer
from rundlet_server.storage.log.format.record import OVERHEAD

RECORD_HEADER: Final = np.dtype(
    [
        ("value_size", "<u4"),
        ("key_size", "<u2"),
        ("meta_size", "<u2"),
        ("version", "<u4"),
        ("kind", "u1"),
        ("type_code", "u1"),
        ("zero", "<u2"),
        ("revision", "<u8"),
        ("time_us", "<u8"),
    ]
)
"""``record.HEADER`` for numpy."""


FRAME_HEADER: Final = np.dtype(
    [
        ("size", "<u4"),
        ("count", "<u4"),
        ("revision", "<u8"),
        ("time_us", "<u8"),
        ("key_count", "<u8"),
        ("value_bytes", "<u8"),
        ("synced", "<u4"),
    ]
)
"""``frame.HEADER`` for numpy."""


def headers_at(
    data: Buffer, places: npt.NDArray[np.int64], dtype: np.dtype[np.void] = RECORD_HEADER
) -> npt.NDArray[np.void]:
    """Return the headers that begin at some places of ``data``, as a copy."""
    every_place = sliding_window_view(np.frombuffer(data, np.uint8), dtype.itemsize)
    headers: npt.NDArray[np.void] = every_place[places].view(dtype)[:, 0]
    return headers


def record_sizes(headers: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return the sizes of whole records by what their headers say."""
    values = headers["value_size"].astype(np.int64)
    sizes: npt.NDArray[np.int64] = values + headers["key_size"] + headers["meta_size"] + OVERHEAD
    return sizes
