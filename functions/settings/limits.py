"""The rows of the limits on keys, values, transactions and answers, which the store enforces."""

from __future__ import annotations

from typing import Final

from rundlet_server.functions.settings.kinds import Count, Size
from rundlet_server.functions.settings.rows import Setting
from rundlet_server.storage.bounds import KEY_BYTES_LIMIT, VALUE_BYTES_LIMIT

LIMITS_PANEL: Final = "Limits"

LIMIT_ROWS: Final = {
    "key_bytes_max": Setting(
        Size(most=KEY_BYTES_LIMIT),
        "The size of the longest key.",
        variable="RUNDLET_MAX_KEY_BYTES",
        option="--max-key-bytes",
        panel=LIMITS_PANEL,
        used_by="store",
    ),
    "value_bytes_max": Setting(
        Size(most=VALUE_BYTES_LIMIT),
        "The size of the largest value.",
        variable="RUNDLET_MAX_VALUE_BYTES",
        option="--max-value-bytes",
        panel=LIMITS_PANEL,
        used_by="store",
    ),
    "txn_ops_max": Setting(
        Count(),
        "The operations in a transaction.",
        variable="RUNDLET_MAX_TXN_OPS",
        option="--max-txn-ops",
        panel=LIMITS_PANEL,
        used_by="store",
    ),
    "txn_bytes_max": Setting(
        Size(most=VALUE_BYTES_LIMIT),
        "The size of all keys and values in a transaction.",
        variable="RUNDLET_MAX_TXN_BYTES",
        option="--max-txn-bytes",
        panel=LIMITS_PANEL,
        used_by="store",
    ),
    "list_keys_max": Setting(
        Count(),
        "The keys on a page of a list, or in an mget.",
        variable="RUNDLET_MAX_LIST_KEYS",
        option="--max-list-keys",
        panel=LIMITS_PANEL,
        used_by="store",
    ),
    "answer_bytes_max": Setting(
        Size(),
        "The size of all keys and values on a page of a list, or in the answer of an mget. One"
        " value alone is always allowed.",
        variable="RUNDLET_MAX_ANSWER_BYTES",
        option="--max-answer-bytes",
        panel=LIMITS_PANEL,
        used_by="store",
    ),
}
"""The defaults are in ``storage.interface.Limits``."""
