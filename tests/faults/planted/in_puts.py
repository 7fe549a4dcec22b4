"""Planted bugs in what decides and encodes transactions of plain puts in one pass."""

from __future__ import annotations

from tests.faults.planted.mutant import Mutant

PLAIN = "tests/engine/running/test_plain_puts.py"
ONE_PASS = "storage/log/write/plain_puts.py"
PENDING = "storage/log/write/pending.py"
REQUESTS = "storage/requests.py"
GROUP = "storage/log/write/group_commit.py"
QUEUE_TESTS = "tests/engine/running/test_group_commit.py"

MUTANTS_OF_PUTS = (
    Mutant(
        "a-failed-put-refuses-what-was-queued-meanwhile",
        GROUP,
        "group = [_Request(txns)] if has_lock else self._take_queue(txns)\n",
        "group = self._take_queue(txns)\n",
        (QUEUE_TESTS,),
    ),
    Mutant(
        "a-plain-put-hides-an-expiry",
        ONE_PASS,
        "            if previous.expires_us or previous.version == VERSION_MAX:\n",
        "            if previous.version == VERSION_MAX:\n",
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
        PENDING,
        "            newest.update(entries)\n",
        "",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-cannot-be-read-by-the-next-transaction",
        PENDING,
        "            self._encoded += encoded\n            self.entries += entries\n",
        "            self.entries += entries\n",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-fill-the-disk",
        "storage/log/write/batch.py",
        "None if self._free_space.is_plenty else self._accepts",
        "None",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-of-a-request-with-a-key-are-not-remembered",
        "storage/log/write/batch.py",
        "self.add_plain([Txn(ops)], 0) if txn.idempotency is None else []",
        "self.add_plain([Txn(ops)], 0)",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-of-a-group-ask-for-no-condition",
        PENDING,
        "if txn.conditions or txn.idempotency is not None or not",
        "if txn.idempotency is not None or not",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-of-a-group-with-a-key-are-not-remembered",
        PENDING,
        "if txn.conditions or txn.idempotency is not None or not",
        "if txn.conditions or not",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-of-a-group-share-a-revision",
        PENDING,
        "            revision, totals, offset = revision + 1, ",
        "            revision, totals, offset = self._revision + 1, ",
        (PLAIN,),
    ),
    Mutant(
        "plain-puts-before-a-failure-are-lost",
        PENDING,
        "            except Exception:\n                break",
        "            except ArithmeticError:\n                break",
        (PLAIN,),
    ),
    Mutant(
        "a-plain-put-alone-asks-for-no-condition",
        ONE_PASS,
        "if txn.conditions or txn.idempotency is not None or not",
        "if txn.idempotency is not None or not",
        (PLAIN,),
    ),
    Mutant(
        "a-plain-put-alone-with-a-key-is-not-remembered",
        ONE_PASS,
        "if txn.conditions or txn.idempotency is not None or not",
        "if txn.conditions or not",
        (PLAIN,),
    ),
    Mutant(
        "a-plain-put-alone-fills-the-disk",
        "storage/log/write/writer.py",
        "if limit > ANY_FRAME_BYTES_MAX or not self.free_space.is_plenty:",
        "if limit > ANY_FRAME_BYTES_MAX:",
        (PLAIN,),
    ),
    Mutant(
        "a-plain-put-alone-reuses-revisions-after-a-power-cut",
        ONE_PASS,
        "max(head.revision, view.manifest.revision_floor) + 1",
        "head.revision + 1",
        ("tests/engine/test_recovery.py",),
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
