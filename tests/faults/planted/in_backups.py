"""Bugs planted in backups and restores, see ``mutants``."""

from __future__ import annotations

from typing import Final

from tests.faults.planted.mutant import Mutant

_LEASES: Final = "storage/log/backup/leases.py"
_TAKING: Final = "storage/log/backup/taking.py"
_PLACES: Final = "storage/log/backup/places.py"
_RESTORING: Final = "storage/log/backup/restoring.py"
_SCANNING: Final = "storage/log/backup/scanning.py"
_PRUNING: Final = "storage/log/backup/pruning.py"
_RESTORE: Final = "tests/backup/test_restore.py"
_FAULTS: Final = "tests/backup/test_faults.py"
_DIRECTORY: Final = "tests/backup/test_directory.py"
_GATHERING: Final = "tests/engine/format/test_gathering.py"
_HTTP: Final = "tests/http/test_backups.py"

BACKUP_MUTANTS: Final = (
    # --- holding a store ---
    Mutant(
        "lease-forgets-the-active-segment",
        _LEASES,
        "return manifest, offset_of(durable) if is_in_active else HEADER_SIZE",
        "return manifest, HEADER_SIZE",
        (_RESTORE,),
    ),
    Mutant(
        "lease-never-ends",
        _LEASES,
        "if self._expires_us(folder) <= now_us:",
        "if False:",
        (_HTTP,),
    ),
    Mutant(
        "lease-is-not-extended",
        _LEASES,
        "self._set_expiry(folder, backup.expires_us)",
        "pass",
        (_HTTP,),
    ),
    Mutant(
        "killed-lease-stays",
        _LEASES,
        "return int(lease[:_ID_TIME_DIGITS], 16) + _MAKING_US <= now_us",
        "return False",
        (_FAULTS,),
    ),
    Mutant(
        "frames-are-not-verified-when-hashed",
        "storage/log/format/stretches.py",
        "if checksum(view[place:end], checksum(pack(offset + place), salt)) != RESIDUE:",
        "if False:",
        (_HTTP,),
    ),
    # --- the directory ---
    Mutant(
        "pieces-are-trusted",
        _TAKING,
        "if self._extend(source, file, chain) == file.sha256:",
        "if self._extend(source, file, chain):",
        (_FAULTS, _DIRECTORY),
    ),
    Mutant(
        "hash-goes-on-after-a-lease-has-ended",
        _TAKING,
        "hasher = hasher.copy() if start <= have",
        "hasher = hasher if start <= have",
        (_DIRECTORY,),
    ),
    Mutant(
        "index-before-its-pieces-are-durable",
        _PLACES,
        "        self.sync()\n        replace_file(",
        "        replace_file(",
        (_FAULTS,),
    ),
    Mutant(
        "segment-hash-is-not-verified",
        "storage/log/backup/verifying.py",
        "if wanted != {hasher.hexdigest()}:",
        "if not wanted:",
        (_FAULTS,),
    ),
    Mutant(
        "prune-takes-pieces-in-use",
        _PRUNING,
        "ends[key] = max(ends.get(key, 0), file.size)",
        "ends[key] = 0",
        (_DIRECTORY,),
    ),
    Mutant(
        "prune-takes-the-newest",
        _PRUNING,
        "kept = indexes[-max(1, keep or 0) :]",
        "kept = indexes[-keep:] if keep else []",
        (_DIRECTORY,),
    ),
    Mutant(
        "following-forgets-the-past",
        "storage/log/backup/following.py",
        "return bool(kept) and index.oldest_revision <= max(kept) + 1",
        "return bool(kept)",
        (_DIRECTORY,),
    ),
    # --- the restore ---
    Mutant(
        "restore-of-damaged-pieces",
        _RESTORING,
        "if hasher.hexdigest() != file.sha256:",
        "if not file.sha256:",
        (_DIRECTORY,),
    ),
    Mutant(
        "restore-of-too-much",
        _SCANNING,
        "                if wanted < len(found.keys):",
        "                if not wanted:",
        (_RESTORE,),
    ),
    Mutant(
        "restore-of-too-little",
        _SCANNING,
        "        if left:\n",
        "        if False:\n",
        (_RESTORE,),
    ),
    Mutant(
        "restore-cut-a-frame-too-late",
        _SCANNING,
        "segment.file.truncate(stretch.offset + stretch.places[whole])",
        "segment.file.truncate(stretch.offset + stretch.size)",
        (_RESTORE,),
    ),
    Mutant(
        "records-are-not-verified",
        "storage/log/format/stretches.py",
        "if crc(view[place:next_place]) != residue:",
        "if False:",
        (_GATHERING,),
    ),
    Mutant(
        "keys-are-sorted-by-eight-bytes",
        "storage/log/index/gathering.py",
        "tied = sorted(order[is_in_tie].tolist(), key=keys.__getitem__)",
        "tied = order[is_in_tie].tolist()",
        (_GATHERING,),
    ),
    Mutant(
        "short-keys-are-sorted-by-what-follows",
        "storage/log/index/gathering.py",
        "    numbers = numbers >> missing << missing\n",
        "",
        (_GATHERING,),
    ),
    Mutant(
        "restore-repeats-revisions",
        _RESTORING,
        "floor = known + REVISION_STEP - 1",
        "floor = head",
        (_RESTORE,),
    ),
    Mutant(
        "restore-leaves-no-gap",
        _RESTORING,
        "(*(gap for gap in old.gaps if gap[0] < head), (head, floor))",
        "()",
        (_RESTORE,),
    ),
    Mutant(
        "restore-forgets-earlier-gaps",
        _RESTORING,
        "(*(gap for gap in old.gaps if gap[0] < head), (head, floor))",
        "((head, floor),)",
        (_RESTORE,),
    ),
    Mutant(
        "restore-keeps-the-store-id",
        _RESTORING,
        "self._store_id = os.urandom(16)",
        "self._store_id = bytes.fromhex(wanted.index.store_id)",
        (_RESTORE,),
    ),
    Mutant(
        "restore-over-what-is-there",
        _RESTORING,
        "if names and MARK_NAME not in names:",
        "if False:",
        (_RESTORE,),
    ),
    Mutant(
        "unfinished-restore-opens",
        "storage/log/open/unfinished.py",
        "    if is_unfinished:",
        "    if False:",
        (_FAULTS,),
    ),
    Mutant(
        "mark-is-removed-before-the-manifest",
        _RESTORING,
        "            self._write_tokens()\n            write_manifest(",
        "            self._write_tokens()\n"
        "            self._files.unlink(self._folder / MARK_NAME)\n"
        "            write_manifest(",
        (_FAULTS,),
    ),
    Mutant(
        "gap-is-read",
        "storage/log/read/answers.py",
        "    require_kept(view, revision)\n",
        "",
        (_RESTORE,),
    ),
    Mutant(
        "gap-is-followed",
        "storage/log/feed/feed.py",
        "    require_kept(view, since)\n",
        "",
        (_RESTORE,),
    ),
)
