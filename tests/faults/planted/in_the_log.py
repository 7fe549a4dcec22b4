"""Bugs planted in the code for durability and damage; the tests must find each of them.

A mutant replaces a piece of source text that occurs once. It names the tests that are likely to
find it, fastest first; ``test_mutants`` runs them on a copy of the source that contains the mutant.
Those of ``around_the_log`` are in what surrounds the log.
"""

from __future__ import annotations

from tests.faults.planted.in_backups import BACKUP_MUTANTS
from tests.faults.planted.mutant import Mutant

POWER = "tests/faults/test_power_cut.py"
ORDER = "tests/faults/test_sync_order.py"
FAULTS = "tests/faults/test_disk_faults.py"
LINES = "tests/faults/test_death_at_any_line.py"
RECOVERY = "tests/engine/test_recovery.py"
DAMAGE = "tests/engine/test_damage.py"
FORMATS = "tests/engine/format/test_formats.py"
STRETCHES = "tests/engine/format/test_stretches.py"
TOMBSTONES = "tests/engine/maintain/test_tombstones.py"
PAGE = "tests/engine/format/test_commit_page.py"
FILES = "tests/engine/test_files.py"
MANIFEST = "tests/engine/format/test_manifest.py"
WORK = "tests/faults/test_maintenance_faults.py"
MODEL = "tests/engine/test_model.py"
MAINTENANCE = "tests/engine/maintain/test_maintenance.py"
CHANGES = "tests/engine/contract/test_changes.py"
FEED_TESTS = "tests/engine/feed/test_feed.py"
WAITING_TESTS = "tests/engine/running/test_waiting.py"
KEPT = "tests/engine/past/test_kept_versions.py"
TIMES = "tests/engine/past/test_times.py"
HOLDS = "tests/engine/past/test_holds.py"
EXPIRY = "tests/engine/contract/test_expiry.py"
EXPIRY_WORK = "tests/engine/running/test_expiry.py"
OPERATIONS = "tests/engine/contract/test_operations.py"
HISTORIES = "tests/engine/past/test_random_histories.py"


WRITER = "storage/log/write/writer.py"
LOG_END = "storage/log/write/log_end.py"
ROLLING = "storage/log/write/rolling.py"
SYNCING = "storage/log/write/syncing.py"
SEGMENT_WRITER = "storage/log/format/segment_writer.py"
OPENING = "storage/log/open/recovery.py"
COMMIT_PAGE = "storage/log/format/commit_page.py"
FEED = "storage/log/feed/feed.py"
FEED_PAGE = "storage/log/feed/page.py"
FIFO = "storage/log/waiting/fifo.py"
WAKER = "storage/log/waiting/waker.py"
WAITING = "storage/log/waiting/waiting.py"

MUTANTS = (
    *BACKUP_MUTANTS,
    # --- syncs that are left out ---
    Mutant(
        "real-files-never-sync",
        "storage/files.py",
        "os.fdatasync(self._fd)",
        "pass",
        (FILES,),
    ),
    Mutant("real-folders-never-sync", "storage/files.py", "os.fsync(fd)", "pass", (FILES,)),
    Mutant(
        "manifest-not-synced",
        "storage/files.py",
        "        file.pwrite([data], 0)\n        file.sync()\n",
        "        file.pwrite([data], 0)\n",
        (ORDER, POWER),
    ),
    Mutant(
        "manifest-name-not-synced",
        "storage/files.py",
        "    files.rename(temporary, path)\n    files.sync_folder(path.parent)",
        "    files.rename(temporary, path)",
        (ORDER, POWER),
    ),
    Mutant(
        "manifest-renamed-before-it-is-synced",
        "storage/files.py",
        "        file.pwrite([data], 0)\n        file.sync()\n",
        "        file.pwrite([data], 0)\n        files.rename(temporary, path)\n"
        "        file.sync()\n        file.pwrite([], 0)\n        files.rename(path, temporary)\n",
        (ORDER, POWER),
    ),
    Mutant(
        "commit-not-synced",
        WRITER,
        "        if is_synced:\n            self._sync_or_abandon(view, segment)\n",
        "",
        (ORDER, POWER),
    ),
    Mutant(
        "loaded-segment-not-synced",
        WRITER,
        "        self._sync_or_abandon(view, segment)\n        try:\n            index =",
        "        try:\n            index =",
        (ORDER, POWER),
    ),
    Mutant(
        "sealed-segment-not-synced",
        ROLLING,
        "            self._syncer.sync(old)\n            return",
        "            return",
        (ORDER, POWER),
    ),
    Mutant(
        "name-of-new-segment-not-synced",
        ROLLING,
        "        Segment.create(self._files, self._folder, header)\n"
        "        self._files.sync_folder(self._folder)\n",
        "        Segment.create(self._files, self._folder, header)\n",
        (ORDER, POWER),
    ),
    Mutant(
        "header-of-new-segment-not-synced",
        "storage/log/format/segment.py",
        "            file.pwrite([encode_header(header)], 0)\n            file.sync()\n",
        "            file.pwrite([encode_header(header)], 0)\n",
        (ORDER, POWER),
    ),
    Mutant(
        "refused-write-not-cut-durably",
        WRITER,
        "            segment.file.truncate(start)\n            self._syncer.sync(segment)\n",
        "            segment.file.truncate(start)\n",
        (FAULTS,),
    ),
    Mutant(
        "copied-tail-not-synced",
        SEGMENT_WRITER,
        "        self._segment.file.sync()\n",
        "        if is_indexed:\n            self._segment.file.sync()\n",
        (FAULTS,),
    ),
    Mutant(
        "index-file-not-synced",
        "storage/log/index/writer.py",
        "        file.sync()\n",
        "",
        (ORDER, POWER),
    ),
    Mutant(
        "name-of-index-file-not-synced",
        "storage/log/maintain/checkpoint.py",
        "        self._files.sync_folder(self._folder)\n        return IndexState",
        "        return IndexState",
        (ORDER, POWER),
    ),
    Mutant(
        "compacted-segment-not-synced",
        SEGMENT_WRITER,
        "        self._segment.file.sync()\n",
        "        if not is_indexed:\n            self._segment.file.sync()\n",
        (ORDER, POWER),
    ),
    Mutant(
        "recovered-end-not-synced",
        OPENING,
        "        segment.file.sync()\n    except OSError:\n        commit_page.abandoned",
        "        pass\n    except OSError:\n        commit_page.abandoned",
        (ORDER, POWER),
    ),
    Mutant(
        "recovered-name-not-synced",
        OPENING,
        "        files.sync_folder(folder)\n        revision",
        "        revision",
        (ORDER, POWER),
    ),
    Mutant(
        "recovery-syncs-again-what-it-could-not",
        OPENING,
        "    if commit_page.abandoned == segment.number:\n",
        "    if False:\n",
        (RECOVERY,),
    ),
    Mutant(
        "first-segment-name-not-synced",
        OPENING,
        "    segment.file.close()\n    files.sync_folder(folder)\n    first",
        "    segment.file.close()\n    first",
        (ORDER, POWER),
    ),
    # --- steps in the wrong order ---
    Mutant(
        "published-before-it-is-synced",
        WRITER,
        "        if is_synced:\n            self._sync_or_abandon(view, segment)\n",
        "        self._commit_page.published = pack_position(segment.number, start + batch.size)\n"
        "        if is_synced:\n            self._sync_or_abandon(view, segment)\n",
        (ORDER, POWER),
    ),
    Mutant(
        "durable-before-published",
        WRITER,
        "        self._commit_page.published = position\n",
        "        if is_synced:\n            self._commit_page.durable = position\n"
        "        self._commit_page.published = position\n",
        (PAGE, LINES),
    ),
    Mutant(
        "index-files-unlinked-before-the-manifest",
        "storage/log/maintain/checkpoint.py",
        "            self._writer.change_manifest(\n                lambda manifest: repl",
        "            for index in inputs:\n                self._files.unlink(index.path)\n"
        "            self._writer.change_manifest(\n                lambda manifest: repl",
        (ORDER, POWER),
    ),
    Mutant(
        "segments-unlinked-before-the-manifest",
        "storage/log/maintain/compaction.py",
        "        self._writer.change_manifest(change)\n",
        "        for run in chosen:\n            for state in run:\n"
        "                self._files.unlink(self._folder / segment_name(state.number))\n"
        "        self._writer.change_manifest(change)\n",
        (ORDER, POWER),
    ),
    Mutant(
        "replaced-segments-go-in-any-order",
        "storage/log/open/orphans.py",
        "    removed.sort(key=lambda name: (_first_revision(files, folder, name), name))\n",
        "    removed.sort(reverse=True)\n",
        (TOMBSTONES, RECOVERY),
    ),
    # --- what a failed call leaves ---
    Mutant(
        "failed-sync-is-an-answer",
        WRITER,
        "        except OSError as cause:\n            refusal",
        "        except OSError as cause:\n            return\n            refusal",
        (FAULTS,),
    ),
    Mutant(
        "failed-sync-does-not-abandon",
        SYNCING,
        "                self._commit_page.abandoned = segment.number\n                raise\n",
        "                raise\n",
        (FAULTS,),
    ),
    Mutant(
        "segment-is-synced-beside-a-sync-that-fails",
        SYNCING,
        "        with self._lock:\n",
        "        if True:\n",
        (FAULTS,),
    ),
    Mutant(
        "sync-counts-although-another-process-was-told-of-a-failure",
        SYNCING,
        "            self._require_intact(segment)  # some kernels",
        "            # some kernels",
        (FAULTS,),
    ),
    Mutant(
        "abandoned-segment-is-written-on",
        WRITER,
        " or self._commit_page.abandoned == active.segment:",
        ":",
        (FAULTS,),
    ),
    Mutant(
        "abandoned-segment-is-synced-again",
        ROLLING,
        "        if self._commit_page.abandoned != old.number:\n",
        "        if True:\n",
        (FAULTS,),
    ),
    Mutant(
        "abandoned-segment-is-synced-again-in-the-background",
        WRITER,
        "        if self._commit_page.abandoned == segment.number:\n            with",
        "        if False:\n            with",
        (FAULTS,),
    ),
    Mutant(
        "refused-write-not-cut",
        WRITER,
        "            segment.file.truncate(start)\n            self._syncer.sync(segment)\n",
        "            pass\n",
        (FAULTS,),
    ),
    Mutant(
        "lost-tail-not-copied",
        ROLLING,
        "        if durable >= view.position:\n",
        "        if durable >= view.position or self._commit_page.abandoned == old.number:\n",
        (FAULTS,),
    ),
    Mutant(
        "delta-keeps-what-was-copied",
        "storage/log/read/follower.py",
        "(is_active or old.offset <= state.size)",
        "(is_active or old.offset)",
        (FAULTS,),
    ),
    Mutant(
        "short-write-is-a-whole-one",
        "storage/files.py",
        "            if written == sum(map(len, buffers)):\n",
        "            if written:\n",
        (FILES, RECOVERY),
    ),
    # --- opening ---
    Mutant(
        "dead-writer-s-bytes-not-cut",
        LOG_END,
        "        segment.file.truncate(end)\n        return view\n",
        "        return view\n",
        (RECOVERY, POWER),
    ),
    Mutant(
        "torn-tail-not-cut",
        OPENING,
        "        if size > end:\n            segment.file.truncate(end)\n",
        "",
        (RECOVERY, POWER),
    ),
    Mutant(
        "log-cut-short-not-noticed",
        LOG_END,
        "        if size < end:\n",
        "        if False:\n",
        (WORK,),
    ),
    Mutant(
        "number-of-the-tail-s-segment-not-given-out",
        ROLLING,
        "        manifest = view.manifest.changed(next_segment=number + 1)\n",
        "        manifest = view.manifest.changed()\n",
        (FAULTS,),
    ),
    Mutant(
        "half-made-manifest-change-not-settled-by-writers",
        LOG_END,
        "        if self._commit_page.is_changing:\n"
        "            settle_manifest(self._files, self._folder, self._commit_page)\n        view",
        "        view",
        (ORDER, WORK),
    ),
    Mutant(
        "half-made-manifest-change-not-settled-at-opening",
        OPENING,
        "    if commit_page.is_changing:\n        install_manifest(",
        "    if False:\n        install_manifest(",
        (ORDER, WORK, LINES),
    ),
    Mutant(
        "change-of-the-manifest-not-told",
        OPENING,
        "    commit_page.is_changing = True\n",
        "",
        (ORDER, WORK),
    ),
    Mutant(
        "start-of-new-segment-not-published",
        OPENING,
        "        commit_page.published = start\n",
        "        pass\n",
        ("tests/engine/running/test_visibility.py",),
    ),
    Mutant(
        "durable-word-not-asked",
        OPENING,
        "    is_here = segment_of(durable) == segment.number\n",
        "    is_here = False\n",
        (RECOVERY,),
    ),
    Mutant(
        "witnesses-not-asked",
        OPENING,
        "    _refuse_if_durable(segment, end, durable_by_witness(segment, end, size))\n",
        "",
        (DAMAGE,),
    ),
    Mutant(
        "no-gap-in-revisions",
        OPENING,
        "        floor = revision + REVISION_GAP\n",
        "        floor = 0\n",
        (RECOVERY,),
    ),
    Mutant(
        "lax-policy-not-noted",
        WRITER,
        'self._settings.sync != "always" and not view.manifest.is_lax',
        "False",
        (RECOVERY,),
    ),
    Mutant(
        "missing-manifest-makes-a-new-store",
        OPENING,
        "        if any(may_hold_commits(files, folder / name) for name in names):\n",
        "        if False:\n",
        (MANIFEST,),
    ),
    Mutant(
        "older-manifest-accepted",
        OPENING,
        "    for name in unnamed_commits(files, folder, manifest):\n        raise",
        "    for name in ():\n        raise",
        (MANIFEST,),
    ),
    Mutant(
        "commits-nobody-names-removed",
        "storage/log/open/orphans.py",
        "    keep = set(unnamed_commits(files, folder, manifest))\n",
        "    keep: set[str] = set()\n",
        (MANIFEST,),
    ),
    # --- the commit page ---
    Mutant(
        "page-trusted-under-another-boot",
        COMMIT_PAGE,
        "        if self.words[_WORD_MAGIC] != _MAGIC or self._boot() != self._boot_id:\n"
        "            return None\n",
        "        if self.words[_WORD_MAGIC] != _MAGIC:\n            return None\n",
        (RECOVERY, POWER),
    ),
    Mutant(
        "complement-not-compared",
        COMMIT_PAGE,
        "        return value if value ^ _ALL_ONES == self.words[word + 1] else None\n",
        "        return value\n",
        (DAMAGE, PAGE),
    ),
    Mutant(
        "damaged-clock-believed",
        COMMIT_PAGE,
        "    return time_us if _time_word(time_us) == word else 0\n",
        "    return time_us\n",
        (DAMAGE, PAGE),
    ),
    # --- checksums and what else is compared ---
    Mutant(
        "frame-checksum-not-compared",
        "storage/log/format/frame.py",
        "    if checksum(data[:size], frame_seed(salt, offset)) != RESIDUE:\n",
        "    if False:\n",
        (RECOVERY, DAMAGE, FORMATS),
    ),
    Mutant(
        "frame-checksum-without-offset",
        "storage/log/format/frame.py",
        "    return checksum(_SEED.pack(offset), salt)\n",
        "    return checksum(_SEED.pack(0), salt)\n",
        (FORMATS, DAMAGE),
    ),
    Mutant(
        "frame-checksum-without-salt",
        "storage/log/format/frame.py",
        "    return checksum(_SEED.pack(offset), salt)\n",
        "    return checksum(_SEED.pack(offset), 0)\n",
        (FORMATS, DAMAGE),
    ),
    Mutant(
        "record-checksum-not-compared",
        "storage/log/format/record.py",
        "    if checksum(data) != RESIDUE or len(data) < OVERHEAD:\n",
        "    if len(data) < OVERHEAD:\n",
        (DAMAGE,),
    ),
    Mutant(
        "key-and-revision-of-a-record-not-compared",
        "storage/log/format/record.py",
        "    if found != revision or data[_KEY_OFFSET:meta_offset] != encoded:\n",
        "    if False:\n",
        (DAMAGE,),
    ),
    Mutant(
        "segment-header-checksum-not-compared",
        "storage/log/format/segment.py",
        "    if is_whole(data):\n",
        "    if True:\n",
        (FORMATS, DAMAGE),
    ),
    Mutant(
        "segment-number-not-compared",
        "storage/log/format/segment.py",
        "        if header.number != number:\n",
        "        if False:\n",
        (MANIFEST,),
    ),
    Mutant(
        "manifest-checksum-not-compared",
        "storage/log/format/manifest.py",
        "CHECKSUM_SIZE or not is_whole(data):",
        "CHECKSUM_SIZE:",
        (FORMATS, DAMAGE),
    ),
    Mutant(
        "index-block-checksum-not-compared",
        "storage/log/index/file.py",
        "            if checksum(self._bytes[start:end]) != self._blocks[block]:\n",
        "            if False:\n",
        (DAMAGE,),
    ),
    Mutant(
        "index-contents-checksum-not-compared",
        "storage/log/index/contents.py",
        "    if len(contents) != size or not is_whole(contents):\n",
        "    if len(contents) != size:\n",
        (DAMAGE, FORMATS),
    ),
    Mutant(
        "token-checksum-not-compared",
        "storage/tokens/format.py",
        "CHECKSUM_SIZE or not is_whole(data):",
        "CHECKSUM_SIZE:",
        ("tests/engine/test_tokens.py",),
    ),
    Mutant(
        "verify-does-not-compare-revisions",
        "storage/log/check/verify.py",
        "        if segment.header.origin == APPENDED and frame.revision <= before:\n",
        "        if False:\n",
        (MANIFEST,),
    ),
    Mutant(
        "verify-does-not-compare-totals",
        "storage/log/check/verify.py",
        "        if told != counted and active.number in self._opened.segments:\n",
        "        if False:\n",
        (MANIFEST,),
    ),
    # --- replay ---
    Mutant(
        "replay-loses-the-expiry-of-a-well-known-type",
        "storage/log/format/stretches.py",
        "                    if meta_size or code >= type_count:\n",
        "                    if code >= type_count:\n",
        (STRETCHES,),
    ),
    Mutant(
        "replay-reads-behind-the-end-of-a-frame",
        "storage/log/format/stretches.py",
        "                    if place + size > body_end:\n",
        "                    if False:\n",
        (STRETCHES,),
    ),
    Mutant(
        "replay-adds-the-first-records-of-a-bad-stretch-again-and-again",
        "storage/log/read/follower.py",
        "            entries = stretch.locators(segment.number)\n",
        "            stretch.add_commits(delta.times, is_appended=is_appended)\n"
        "            entries = stretch.locators(segment.number)\n",
        (DAMAGE,),
    ),
    Mutant(
        "delta-forgets-what-expires",
        "storage/log/index/delta.py",
        "            if locator.kind != PUT or locator.expires_us:\n",
        "            if locator.kind != PUT:\n",
        (EXPIRY_WORK,),
    ),
    # --- what is deleted stays deleted, what is new is seen ---
    Mutant(
        "tombstones-dropped-before-older-records",
        "storage/log/maintain/compaction.py",
        "        if not usage.is_all_live and usage.state.number not in chosen:\n",
        "        if False:\n",
        (TOMBSTONES,),
    ),
    Mutant(
        "generation-of-the-manifest-not-compared",
        "storage/log/read/follower.py",
        "        if self._commit_page.generation != self.view.manifest.generation:\n"
        "            with",
        "        if False:\n            with",
        (MAINTENANCE, FAULTS, MODEL),
    ),
    Mutant(
        "revision-floor-not-kept",
        "storage/log/write/pending.py",
        "view.manifest.revision_floor",
        "0",
        (RECOVERY,),
    ),
    Mutant(
        "a-load-reuses-revisions-after-a-power-cut",
        "storage/log/maintain/chunk.py",
        "        first = max(head.revision, floor) + 1\n",
        "        first = head.revision + 1\n",
        (RECOVERY,),
    ),
    # --- the feed: complete, in order, commits whole, nothing twice ---
    Mutant(
        "feed-from-before-the-oldest-revision",
        "storage/log/read/times.py",
        "    if revision < view.manifest.oldest_revision or ",
        "    if ",
        (FEED_TESTS, MODEL),
    ),
    Mutant(
        "feed-page-goes-on-behind-a-commit-that-did-not-fit",
        FEED_PAGE,
        "        if self.is_full:  # the commit before this one did not fit\n            return\n",
        "",
        (FEED_TESTS,),
    ),
    Mutant(
        "feed-page-splits-a-commit",
        FEED_PAGE,
        "        if is_too_much and self._first:\n            del self.events[self._first :]\n",
        "        if is_too_much and self._first:\n",
        (CHANGES,),
    ),
    Mutant(
        "feed-repeats-the-commits-of-a-frame",
        FEED_PAGE,
        "            if header[7] > self.reached:\n",
        "            if True:\n",
        (FEED_TESTS, MODEL),
    ),
    Mutant(
        "feed-goes-beyond-the-last-revision-wanted",
        FEED_PAGE,
        "        if revision > self._last:\n",
        "        if False:\n",
        (CHANGES,),
    ),
    Mutant(
        "feed-skips-segments-behind-the-first",
        FEED,
        "    for state in states[numbers.index(first) :]:\n",
        "    for state in states[numbers.index(first) :][:1]:\n",
        (CHANGES,),
    ),
    Mutant(
        "feed-begins-each-segment-at-the-place-in-the-first",
        FEED,
        "        start = HEADER_SIZE\n",
        "",
        (FEED_TESTS, CHANGES),
    ),
    Mutant(
        "reads-do-not-look-for-moved-files",
        "storage/log/read/follower.py",
        "view = self.reload()",
        "view = self.current()",
        (FEED_TESTS, TIMES),
    ),
    Mutant(
        "feed-marks-no-last-event",
        FEED_PAGE,
        "Event(*event[:8], True, *event[9:])",
        "event",
        (CHANGES,),
    ),
    # --- waiting: no commit is missed, no death is in the way ---
    Mutant(
        "writer-wakes-no-process",
        WRITER,
        "            head=frames.head,\n        )\n        self._waker.wake()\n",
        "            head=frames.head,\n        )\n",
        (WAITING_TESTS,),
    ),
    Mutant(
        "newcomer-does-not-change-the-word",
        FIFO,
        "(self._commit_page.waiters | 1) + 2",
        "self._commit_page.waiters | 1",
        (WAITING_TESTS,),
    ),
    Mutant(
        "waiter-looks-before-it-notes-what-it-knows",
        WAITING,
        "                ticks = self._ticks  # before the look: a later commit changes it\n"
        "                head = self._head()\n",
        "                head = self._head()\n                ticks = self._ticks\n",
        (WAITING_TESTS,),
    ),
    Mutant(
        "thread-never-looks-by-itself",
        WAITING,
        "                    fifo.wait(_LOOK_EVERY_S)\n",
        "                    fifo.wait(3_600)\n",
        (WAITING_TESTS,),
    ),
    Mutant(
        "writer-keeps-the-fifo-of-a-dead-waiter",
        WAKER,
        "                self._folder.remove(name)\n                self._forget(name)\n",
        "                pass\n",
        (WAITING_TESTS,),
    ),
    Mutant(
        "fifo-lives-on-in-a-child",
        FIFO,
        "        listen_for_forks(self)\n",
        "",
        (WAITING_TESTS,),
    ),
    # --- the past ---
    Mutant(
        "expiry-is-judged-by-the-present",
        "storage/log/read/answers.py",
        "return at if isinstance(at, Moment) else Moment(at, time_at(view, at))",
        "return Moment(at if isinstance(at, int) else at.revision, clock.now_us())",
        (EXPIRY, HISTORIES),
    ),
    Mutant(
        "versions-around-a-gap-are-shown",
        "storage/log/index/retention.py",
        "            and (successor is None or successor.version == locator.version + 1)\n",
        "",
        (KEPT, HISTORIES),
    ),
    Mutant(
        "earlier-lives-count-as-versions",
        "storage/log/index/retention.py",
        "            and not locator.is_tombstone\n"
        "            and (successor is None or successor.version == locator.version + 1)\n",
        "",
        (KEPT, HISTORIES),
    ),
    Mutant(
        "a-version-of-an-earlier-life-is-found",
        "storage/log/index/retention.py",
        "        elif has_begun:\n            return\n",
        "",
        (OPERATIONS, HISTORIES),
    ),
    Mutant(
        "what-had-expired-is-restored",
        "storage/log/read/past.py",
        "        if locator.is_tombstone or has_expired:\n",
        "        if locator.is_tombstone:\n",
        (OPERATIONS, HISTORIES),
    ),
    Mutant(
        "a-pass-drops-what-is-to-be-kept-by-now",
        "storage/log/maintain/horizon.py",
        "        if retention.keep_versions > self.keep_versions or",
        "        if retention.keep_versions < 0 and",
        (KEPT,),
    ),
    Mutant(
        "a-pass-drops-what-is-held-by-now",
        "storage/log/maintain/horizon.py",
        "        if held is not None and held < self.revision:\n            raise OutdatedError\n",
        "",
        (HOLDS,),
    ),
    Mutant(
        "dead-owners-hold-for-ever",
        "storage/log/holds.py",
        "                if file.lock(wait=False):\n",
        "                if not name:\n",
        (HOLDS,),
    ),
    Mutant(
        "the-time-of-a-dropped-commit-is-forgotten",
        "storage/log/read/times.py",
        "    return max(time_us, oldest.time_us) if revision >= oldest.revision else time_us\n",
        "    return time_us\n",
        (TIMES,),
    ),
    Mutant(
        "the-moment-of-a-dropped-commit-is-compacted",
        "storage/log/read/times.py",
        "    return max(revision, oldest.revision) if time_us >= oldest.time_us > 0 else",
        "    return revision if time_us else",
        (TIMES,),
    ),
    Mutant(
        "a-damaged-times-file-is-believed",
        "storage/log/format/times_file.py",
        "    if not is_whole(data):\n",
        "    if not data:\n",
        (TIMES,),
    ),
    Mutant(
        "times-files-are-no-orphans",
        "storage/log/open/orphans.py",
        "number in (segment_number, index_number, times_number)",
        "number in (segment_number, index_number)",
        (TIMES,),
    ),
    Mutant(
        "a-change-of-the-manifest-forgets-the-retention",
        "storage/log/format/manifest.py",
        "            retention=retention or self.retention,\n",
        "            retention=retention or Retention(),\n",
        (KEPT, HISTORIES),
    ),
)

EQUIVALENT = {
    "a repair does not ask the segments for their last revision": (
        "the index file that it has just written knows every record that it has kept"
    ),
    "folder not synced between compacted segments and their index file": (
        "writing the index file syncs the same folder before the manifest names either"
    ),
    "a plain put follows the last version": (
        "the number does not fit its field, so the put is decided step by step, and refused there"
    ),
    "bytes behind the end of an abandoned segment not cut": (
        "the manifest seals it before them: they only save a repair without manifest some work"
    ),
}
"""Changes that no test can tell from the original, and why."""
