"""Planted bugs in what is remembered of requests with an idempotency key."""

from __future__ import annotations

from tests.faults.planted.mutant import Mutant

CONTRACT = "tests/engine/contract/test_idempotency.py"
OUTCOMES = "tests/engine/maintain/test_outcomes.py"
OVER_HTTP = "tests/http/conditions/test_idempotency.py"
LEASES = "tests/engine/etcd/test_outcomes.py"
BATCH = "storage/log/write/batch.py"
KEYS = "functions/access/idempotency.py"
DELETION = "storage/selecting/deletion.py"

MUTANTS_OF_RETRIES = (
    Mutant(
        "conditions-are-judged-before-the-outcome-is-looked-for",
        BATCH,
        "            if done is not None:\n                return done\n",
        "            if done is not None and not txn.conditions:\n                return done\n",
        (CONTRACT,),
    ),
    Mutant(
        "an-outcome-is-never-forgotten",
        "storage/log/write/remembering.py",
        "outcome.version * 1_000_000 <= time_us",
        "outcome.version < 0",
        (CONTRACT,),
    ),
    Mutant(
        "any-request-gets-the-outcome-of-a-key",
        "storage/outcomes/remembering.py",
        "    if fingerprint != idempotency.fingerprint:\n",
        "    if False:\n",
        (CONTRACT,),
    ),
    Mutant(
        "the-feed-shows-outcomes",
        "storage/log/feed/page.py",
        "        if kind == OUTCOME:\n            return\n",
        "",
        (CONTRACT,),
    ),
    Mutant(
        "an-outcome-counts-as-a-value",
        "storage/log/format/record.py",
        "(DELETE, EXPIRE, ERASE, OUTCOME)",
        "(DELETE, EXPIRE, ERASE)",
        (CONTRACT,),
    ),
    Mutant(
        "compaction-drops-outcomes-as-tombstones",
        "storage/log/maintain/compaction.py",
        "is_tombstone(columns) & ~is_outcome(columns)",
        "is_tombstone(columns)",
        (OUTCOMES,),
    ),
    Mutant(
        "compaction-keeps-what-is-forgotten",
        "storage/log/index/retention.py",
        "    return needed & ~is_forgotten\n",
        "    return needed\n",
        (OUTCOMES,),
    ),
    Mutant(
        "compaction-drops-what-is-remembered",
        "storage/log/index/retention.py",
        '(rows["version"] <= forgotten_s)',
        '(rows["version"] <= forgotten_s + 50)',
        (OUTCOMES,),
    ),
    Mutant(
        "a-repair-takes-a-lost-outcome-for-a-delete",
        "storage/log/repair/log.py",
        "                if version.kind == OUTCOME:\n",
        "                if False:\n",
        (OUTCOMES,),
    ),
    Mutant(
        "etcd-finds-the-outcome-and-does-it-again",
        "storage/etcd/commits.py",
        "            if done is not None:\n                return done\n",
        "",
        (CONTRACT,),
    ),
    Mutant(
        "etcd-does-two-requests-with-one-key",
        "storage/etcd/commits.py",
        "            compares.append(memory.is_free)\n",
        "",
        (LEASES,),
    ),
    Mutant(
        "a-key-is-anybodys",
        KEYS,
        "_joined([scope.encode(), text])",
        "_joined([text])",
        (OVER_HTTP,),
    ),
    Mutant(
        "another-body-is-the-same-request",
        KEYS,
        "    fingerprint.update(body)\n",
        "",
        (OVER_HTTP,),
    ),
    Mutant(
        "its-own-write-makes-a-request-too-late",
        "functions/routes/values.py",
        "                if not done.is_replay:\n",
        "                if True:\n",
        (OVER_HTTP,),
    ),
    Mutant(
        "a-deletion-by-prefix-is-not-looked-up",
        DELETION,
        "        if self._recall():\n            return []\n",
        "",
        (OVER_HTTP,),
    ),
    Mutant(
        "a-deletion-by-prefix-in-flight-twice-is-refused",
        DELETION,
        "                if self._recall():  # the same request was in flight, and deleted them\n"
        "                    return []\n",
        "",
        (OVER_HTTP,),
    ),
    Mutant(
        "a-deletion-by-prefix-is-not-remembered",
        DELETION,
        "            txn = dataclasses.replace(txn, idempotency=noted)\n",
        "",
        (OVER_HTTP,),
    ),
)
