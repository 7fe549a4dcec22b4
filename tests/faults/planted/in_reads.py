"""Bugs planted in the ways of reading that take one pass; see ``mutants``."""

from __future__ import annotations

from tests.faults.planted.mutant import Mutant

NEWEST = "tests/engine/test_newest.py"
PAGES = "tests/engine/test_pages.py"
READS = "storage/log/reads.py"
LINES = "storage/log/index/lines.py"
RECORDS = "storage/log/read/many_records.py"
MANY_RECORDS = "tests/engine/test_many_records.py"
LISTED = "storage/log/read/pages.py"

MUTANTS_OF_READS = (
    Mutant(
        "deleted-value-shown-at-the-head",
        "storage/log/read/view.py",
        "        if flags & KIND_MASK not in VALUES or size > LARGE_VALUE_BYTES:\n",
        "        if size > LARGE_VALUE_BYTES:\n",
        (NEWEST,),
    ),
    Mutant(
        "value-of-another-key-with-the-same-hash-shown",
        "storage/log/format/record.py",
        " or data[_KEY_OFFSET:meta_offset] != encoded:\n",
        ":\n",
        (NEWEST, "tests/engine/test_damage.py"),
    ),
    Mutant(
        "value-of-another-key-with-the-same-hash-shown-among-many",
        "storage/log/format/record.py",
        " or record[_KEY_OFFSET:value_offset] != key_bytes:\n",
        ":\n",
        (NEWEST, "tests/engine/test_damage.py"),
    ),
    Mutant(
        "one-of-many-values-shown-although-it-is-damaged",
        "storage/log/format/record.py",
        "    if set(map(checksum, data)) != {RESIDUE} or min(map(len, data)) < OVERHEAD:\n",
        "    if min(map(len, data)) < OVERHEAD:\n",
        (PAGES, "tests/engine/test_damage.py"),
    ),
    Mutant(
        "newer-value-in-the-log-not-seen",
        "storage/log/read/view.py",
        "            if locator is not None:\n"
        "                return locator.revision, locator.position",
        "            if locator is not None and delta is not self.active:\n"
        "                return locator.revision, locator.position",
        (NEWEST,),
    ),
    Mutant(
        "replaced-value-shown-from-the-cache",
        "storage/log/read/view.py",
        "            if newer is not None and newer.revision != entry.revision:\n",
        "            if False:\n",
        (NEWEST, "tests/engine/test_cache.py"),
    ),
    Mutant(
        "one-of-many-values-newer-than-their-snapshot",
        READS,
        "    if max(map(_REVISION, filter(None, entries)), default=0) > moment.revision:\n",
        "    if False:\n",
        (NEWEST,),
    ),
    Mutant(
        "one-of-many-values-shown-although-it-has-expired",
        READS,
        "    if not any(map(_EXPIRES_US, filter(None, entries))):\n",
        "    if True:\n",
        (NEWEST,),
    ),
    Mutant(
        "one-of-many-values-shown-although-it-is-deleted",
        "storage/log/read/view.py",
        " or not kinds <= _VALUES:\n",
        ":\n",
        (NEWEST,),
    ),
    Mutant(
        "metadata-of-many-values-takes-no-room",
        READS,
        "    if any(map(_METADATA, entries)):\n",
        "    if False:\n",
        (NEWEST,),
    ),
    Mutant(
        "many-values-have-any-size",
        READS,
        "        if size > self._limits.answer_bytes_max:\n",
        "        if False:\n",
        ("tests/engine/contract/test_reads.py",),
    ),
    Mutant(
        "older-versions-are-listed",
        LINES,
        '    is_older = (rows["flags"] & OLDER) != 0\n',
        '    is_older = rows["flags"] < 0\n',
        (PAGES,),
    ),
    Mutant(
        "older-index-files-come-before-newer-ones",
        LINES,
        "    for block in reversed(blocks):\n",
        "    for block in blocks:\n",
        (PAGES,),
    ),
    Mutant(
        "keys-behind-the-end-of-a-block-are-listed",
        LINES,
        "        keys = keys[: bisect_right(keys, through)]\n",
        "        pass\n",
        (PAGES,),
    ),
    Mutant(
        "commits-after-the-moment-of-a-list-are-in-it",
        LINES,
        "    if any(delta.times.first_above(at) for delta in deltas):\n",
        "    if False:\n",
        (PAGES,),
    ),
    Mutant(
        "deltas-behind-the-end-of-what-was-read-of-them-count-as-empty",
        LINES,
        "    if not newest.found and newest.through is None and len(blocks) == 1:\n",
        "    if not newest.found and len(blocks) == 1:\n",
        (PAGES,),
    ),
    Mutant(
        "older-deltas-come-before-newer-ones",
        LINES,
        "    for delta in reversed(deltas):\n",
        "    for delta in deltas:\n",
        (PAGES,),
    ),
    Mutant(
        "older-deltas-come-before-newer-ones-in-the-past",
        LINES,
        "    for key in keys:\n        for delta in deltas:\n",
        "    for key in keys:\n        for delta in deltas[::-1]:\n",
        (PAGES,),
    ),
    Mutant(
        "expired-values-are-in-blocks",
        LINES,
        "not 0 < end_us <= time_us for end_us",
        "True for end_us",
        (PAGES,),
    ),
    Mutant(
        "deleted-keys-are-in-blocks",
        LINES,
        "        is_live = list(map(_VALUES.__contains__, self.kinds))\n",
        "        is_live = [True] * len(self.kinds)\n",
        (PAGES,),
    ),
    Mutant(
        "deleted-keys-are-in-blocks-where-nothing-expires",
        LINES,
        "        if not has_expiry and set(self.kinds) <= _VALUES:\n",
        "        if not has_expiry:\n",
        (PAGES,),
    ),
    Mutant(
        "expired-values-are-in-blocks-where-nothing-is-deleted",
        LINES,
        "        if not has_expiry and set(self.kinds) <= _VALUES:\n",
        "        if set(self.kinds) <= _VALUES:\n",
        (PAGES,),
    ),
    Mutant(
        "records-near-each-other-are-read-from-the-wrong-place",
        RECORDS,
        "        starts = [position - first for position in positions]\n",
        "        starts = [position - positions[0] for position in positions]\n",
        (MANY_RECORDS,),
    ),
    Mutant(
        "records-of-several-segments-are-read-from-one",
        RECORDS,
        "map(descriptors.__getitem__, numbers)",
        "map(descriptors.get, numbers[:1] * len(numbers))",
        (MANY_RECORDS,),
    ),
    Mutant(
        "index-file-newer-than-the-moment-of-a-list-is-read",
        LISTED,
        "    return not view.erased and max(indexed, default=0) <= at\n",
        "    return not view.erased or not indexed\n",
        (PAGES,),
    ),
    Mutant(
        "erased-key-is-in-blocks-of-the-past",
        LISTED,
        "    return not view.erased and max(indexed, default=0) <= at\n",
        "    return max(indexed, default=0) <= at\n",
        (PAGES,),
    ),
    Mutant(
        "pages-in-blocks-have-any-size",
        LISTED,
        "    return bisect_right(list(accumulate(sizes)), cost.bytes_max)\n",
        "    return len(list(accumulate(sizes)))\n",
        (PAGES,),
    ),
    Mutant(
        "expired-and-deleted-keys-are-counted",
        LISTED,
        "        count += len(found.live_at(moment.time_us).keys)\n",
        "        count += len(found.keys)\n",
        (PAGES,),
    ),
    Mutant(
        "damaged-value-ends-a-list",
        LISTED,
        "            entries += map(view.read_entry, names[part], lines.keys[part], locators)\n",
        "            return entries + list(map(view.read_entry, names[:0], names, locators))\n",
        (PAGES,),
    ),
    Mutant(
        "times-of-other-commits-are-listed",
        "storage/log/format/commit_times.py",
        "        places = np.searchsorted(known, revisions)\n",
        '        places = np.searchsorted(known, revisions, side="right")\n',
        (PAGES,),
    ),
)
