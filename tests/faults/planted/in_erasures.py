"""Planted bugs in erasing: what was erased is seen, comes back, or stays in a file."""

from __future__ import annotations

from tests.faults.planted.in_the_log import Mutant

CONTRACT = "tests/engine/contract/test_erase.py"
BYTES = "tests/engine/erase/test_bytes.py"
UNFINISHED = "tests/engine/erase/test_unfinished.py"
VIEW = "storage/log/read/view.py"
COMPACTION = "storage/log/maintain/compaction.py"
ERASURE = "storage/log/maintain/erasure.py"
REPAIR = "storage/log/repair/log.py"
LEASES = "storage/log/backup/leases.py"

MUTANTS_OF_ERASURES = (
    Mutant(
        "erased-value-is-read-at-an-old-revision",
        VIEW,
        "        return None if locator.revision < self._erased_at(key) else locator\n",
        "        return locator\n",
        (CONTRACT,),
    ),
    Mutant(
        "erased-key-is-in-old-lists",
        VIEW,
        "        if not erased:\n            return found\n",
        "        if erased or not erased:\n            return found\n",
        (CONTRACT,),
    ),
    Mutant(
        "history-goes-on-behind-an-erasure",
        VIEW,
        "            if locator.kind == ERASE:\n                return\n",
        "",
        (CONTRACT,),
    ),
    Mutant(
        "feed-shows-what-was-erased",
        "storage/log/feed/page.py",
        " or revision < self._erased.get(key, 0):",
        ":",
        (CONTRACT,),
    ),
    Mutant(
        "erased-version-is-compacted-not-unknown",
        "storage/log/read/past.py",
        "last is not None and last.kind != ERASE",
        "last is not None",
        (CONTRACT,),
    ),
    Mutant(
        "expiry-is-not-logged-before-an-erasure",
        "storage/log/write/batch.py",
        "        self._expire_first([key])\n        kept = kept_of",
        "        kept = kept_of",
        (CONTRACT,),
    ),
    Mutant(
        "index-file-forgets-an-erasure",
        "storage/log/maintain/checkpoint.py",
        "        erased={**manifest.erased, **delta.erased},\n",
        "",
        (CONTRACT, BYTES),
    ),
    Mutant(
        "manifest-forgets-an-erasure",
        "storage/log/format/manifest.py",
        '        "erased": dict(manifest.erased),\n',
        "",
        (BYTES, UNFINISHED),
    ),
    Mutant(
        "earlier-releases-read-a-store-with-an-erasure",
        "storage/log/maintain/eraser.py",
        "            known = self._writer.install_manifest(view.manifest.changed())\n",
        "            known = view\n",
        (UNFINISHED,),
    ),
    Mutant(
        "merged-index-keeps-what-was-erased",
        "storage/log/maintain/checkpoint.py",
        "        return without_erased(merged)\n",
        "        return merged\n",
        (BYTES,),
    ),
    Mutant(
        "index-keeps-content-types-of-no-row",
        "storage/log/index/columns.py",
        "    is_used = np.bincount(",
        "    is_used = 0 <= np.bincount(",
        (BYTES,),
    ),
    Mutant(
        "only-live-bytes-are-removed",
        COMPACTION,
        "        to_clean = segments_to_clean(view)\n",
        "        to_clean = {u.state.number for u in usages if u.dead_share > 0.9}\n",
        (BYTES,),
    ),
    Mutant(
        "bytes-where-two-pieces-of-a-file-meet-are-not-seen",
        ERASURE,
        "        start = max(0, end - _CHUNK_BYTES - overlap)\n",
        "        start = max(0, end - _CHUNK_BYTES)\n",
        (BYTES,),
    ),
    Mutant(
        "segments-with-the-key-in-a-value-are-written-again",
        ERASURE,
        "        if head[1] == len(key) and head[7] < erased_at:\n",
        "        if head:\n",
        (BYTES,),
    ),
    Mutant(
        "erasure-is-forgotten-before-it-is-finished",
        COMPACTION,
        "        if cleaned and is_clean:\n",
        "        if cleaned:\n",
        (UNFINISHED,),
    ),
    Mutant(
        "erasure-is-done-when-the-manifest-is",
        COMPACTION,
        "        self._writer.change_manifest(change)\n        self._follower.refresh()\n",
        "        self._writer.change_manifest(change)\n"
        "        self._forget_erased(view, is_clean=chosen == wanted)\n"
        "        self._follower.refresh()\n",
        (UNFINISHED,),
    ),
    Mutant(
        "maintenance-does-not-finish-an-erasure",
        "storage/log/maintenance.py",
        "        if self._maintainer.has_erased:\n",
        "        if not self._maintainer.has_erased:\n",
        (UNFINISHED,),
    ),
    Mutant(
        "an-opened-store-does-not-finish-an-erasure",
        "storage/log/store.py",
        "        parts.eraser.resume()\n",
        "",
        (UNFINISHED,),
    ),
    Mutant(
        "repair-loses-an-erasure-of-the-manifest",
        REPAIR,
        "        missing += self._lost_erasures(missing)\n",
        "",
        (UNFINISHED,),
    ),
    Mutant(
        "repaired-store-does-not-finish-an-erasure",
        "storage/log/repair/run.py",
        "            erased=self._erased,\n",
        "",
        (UNFINISHED,),
    ),
    Mutant(
        "leases-keep-what-was-erased",
        LEASES,
        "                    if has_to_end:\n",
        "                    if not has_to_end:\n",
        (BYTES,),
    ),
    Mutant(
        "a-lease-is-taken-while-bytes-are-removed",
        LEASES,
        "        if self._is_erasing():\n",
        "        if not self._is_erasing:\n",
        (BYTES,),
    ),
)
