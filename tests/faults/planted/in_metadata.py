"""Planted bugs in metadata: it is lost, kept too long, not verified, or not said to be there."""

from __future__ import annotations

from tests.faults.planted.mutant import Mutant

CONTRACT = "tests/engine/contract/test_metadata.py"
ON_DISK = "tests/engine/format/test_metadata_on_disk.py"
HTTP = "tests/http/bodies/test_metadata.py"
BATCH = "storage/log/write/batch.py"
RECORD = "storage/log/format/record.py"

MUTANTS_OF_METADATA = (
    Mutant(
        "metadata-is-lost-when-a-value-is-copied",
        BATCH,
        "        return record._replace(metadata=old.metadata)\n",
        "        return record\n",
        (CONTRACT,),
    ),
    Mutant(
        "metadata-is-lost-when-a-number-is-added",
        BATCH,
        "_replace(expires_us=old.expires_us, metadata=old.metadata)",
        "_replace(expires_us=old.expires_us)",
        (CONTRACT,),
    ),
    Mutant(
        "metadata-is-not-said-in-the-manifest",
        "storage/log/write/writer.py",
        "        if not frames.needs <= view.manifest.needs:\n",
        "        if False:\n",
        (ON_DISK,),
    ),
    Mutant(
        "metadata-is-not-verified",
        RECORD,
        " and (len(meta) % META_UNIT or not is_whole(meta)):\n",
        " and len(meta) % META_UNIT:\n",
        (ON_DISK,),
    ),
    Mutant(
        "meta-map-has-any-size",
        RECORD,
        "bytes(-(len(data) + CHECKSUM_SIZE) % META_UNIT)",
        'b""',
        (CONTRACT, ON_DISK),
    ),
    Mutant(
        "large-meta-maps-are-counted-in-bytes",
        "storage/log/index/file.py",
        "            meta_size <<= flags >> META_SHIFT\n",
        "            pass\n",
        (ON_DISK,),
    ),
    Mutant(
        "unknown-needs-are-ignored",
        "storage/log/format/manifest.py",
        "    if unknown:\n",
        "    if unknown and not manifest:\n",
        (ON_DISK,),
    ),
    Mutant(
        "a-repair-does-not-say-what-is-needed",
        "storage/log/repair/run.py",
        "            needs=log.needs | (old.needs if old else frozenset()),\n",
        "            needs=old.needs if old else frozenset(),\n",
        (ON_DISK,),
    ),
    Mutant(
        "answers-are-bounded-without-metadata",
        "storage/log/reads.py",
        "sizes.append(locator.size - OVERHEAD)",
        "sizes.append(len(key) + locator.value_size)",
        (CONTRACT,),
    ),
    Mutant(
        "percent-is-not-encoded",
        "functions/metadata.py",
        "|[^\\x20-\\x24\\x26-\\x7e]+",
        "|[^\\x20-\\x7e]+",
        (HTTP,),
    ),
)
