"""Planted bugs in what decides and encodes transactions of plain puts in one pass."""

from __future__ import annotations

from tests.faults.planted.mutant import Mutant

PLAIN = "tests/engine/running/test_plain_puts.py"
ONE_PASS = "storage/log/write/plain_puts.py"
REQUESTS = "storage/requests.py"

MUTANTS_OF_PUTS = (
    Mutant(
        "a-plain-put-hides-an-expiry",
        ONE_PASS,
        "            if previous.expires_us or previous.version == VERSION_MAX:\n",
        "            if previous.version == VERSION_MAX:\n",
        (PLAIN,),
    ),
    Mutant(
        "a-plain-put-follows-the-last-version",
        ONE_PASS,
        "            if previous.expires_us or previous.version == VERSION_MAX:\n",
        "            if previous.expires_us:\n",
        (PLAIN,),
    ),
    Mutant(
        "a-plain-put-after-a-delete-replaces-a-value",
        ONE_PASS,
        "            if previous.kind not in TOMBSTONES:\n",
        "            if True:\n",
        (PLAIN,),
    ),
    Mutant(
        "a-plain-put-forgets-the-versions-of-its-batch",
        ONE_PASS,
        "            if previous.revision <= published:\n",
        "            if True:\n",
        (PLAIN,),
    ),
    Mutant(
        "a-plain-put-loses-metadata",
        ONE_PASS,
        "value_size > COPIED_BYTES_MAX or op.metadata:\n",
        "value_size > COPIED_BYTES_MAX:\n",
        (PLAIN,),
    ),
    Mutant(
        "a-plain-put-loses-a-time-of-expiry",
        ONE_PASS,
        "op.ttl_s is not None or op.expires_us is not None:\n",
        "op.ttl_s is not None:\n",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-are-not-seen-by-the-next-transaction",
        "storage/log/write/pending.py",
        "        self._newest.update(entries)\n",
        "",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-cannot-be-read-by-the-next-transaction",
        "storage/log/write/pending.py",
        "        self._encoded += encoded\n        self._add_frame(entries, [encoded], totals)\n",
        "        self._add_frame(entries, [encoded], totals)\n",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-fill-the-disk",
        "storage/log/write/batch.py",
        "        if not self._free_space.is_plenty:\n            size",
        "        if False:\n            size",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-of-a-request-with-a-key-are-not-remembered",
        "storage/log/write/batch.py",
        "self._put_plainly(ops) if txn.idempotency is None else None",
        "self._put_plainly(ops)",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-write-a-key-twice",
        REQUESTS,
        "    return len(keys) == len(ops) <= limits.txn_ops_max and",
        "    return len(ops) <= limits.txn_ops_max and",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-are-as-many-as-one-likes",
        REQUESTS,
        "    return len(keys) == len(ops) <= limits.txn_ops_max and",
        "    return len(keys) == len(ops) and",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-are-as-large-as-one-likes",
        REQUESTS,
        "            and value_size <= value_bytes_max\n",
        "",
        (PLAIN,),
    ),
)
