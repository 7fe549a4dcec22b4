"""Store the sizes of records' meta maps in the one byte that an index row has for them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rundlet_server.storage.log.format.record import META_UNIT

META_SHIFT: Final = 5
"""The upper three bits of the flags are the unit of ``meta_size``, as a shift to the left: one
byte, or ``META_UNIT`` for metadata that needs it."""
META_SIZE_MAX: Final = 255
"""The largest meta map whose size is given in bytes."""
_UNIT_BITS: Final = META_UNIT.bit_length() - 1


def set_meta_sizes(rows: npt.NDArray[np.void], sizes: npt.NDArray[np.unsignedinteger]) -> None:
    """Set the sizes of the meta maps of some rows; call it after all other flags are set."""
    is_large = sizes > META_SIZE_MAX
    rows["flags"][is_large] |= np.uint8(_UNIT_BITS << META_SHIFT)
    rows["meta_size"] = np.where(is_large, sizes >> np.uint8(_UNIT_BITS), sizes)


def meta_sizes(rows: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return the sizes of the meta maps of some rows."""
    sizes: npt.NDArray[np.int64] = rows["meta_size"].astype(np.int64) << (
        rows["flags"] >> np.uint8(META_SHIFT)
    )
    return sizes
