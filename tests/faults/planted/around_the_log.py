"""Bugs planted around the log: forks, replaced folders, repair, expiry, large values, media.

They are of the same kind as those of ``mutants``. Most name the one test that is to find them.
"""

from __future__ import annotations

from tests.faults.planted.in_the_log import Mutant

FORKS = "tests/engine/test_fork.py"
PLACES = "tests/operations/test_place.py"
REPAIRS = "tests/engine/test_repair.py"
REPAIRS_OF_DAMAGE = "tests/engine/test_damage.py"
EXPIRIES = "tests/engine/running/test_expiry.py"
EXPIRED = "tests/engine/contract/test_expiry.py::test_an_expired_value_is_seen_by_no_read"
LARGE = "tests/memory/test_large_values.py"
MEDIA = "tests/operations/test_read_only_media.py"

IN_THE_TURN_OF_A_WRITER = f"{FORKS}::test_fork_in_the_turn_of_a_writer_leaves_it_the_lock"
BACKUP_OVER_NEWER = f"{REPAIRS}::test_a_backup_unpacked_over_a_newer_folder_is_told_key_by_key"
ONE_WITNESS = f"{REPAIRS}::test_one_witness_is_enough_to_keep_the_revision"
ONE_FILE = f"{PLACES}::test_one_file_in_another_ones_place_is_enough"
SPAN = f"{EXPIRIES}::test_expiries_in_a_span_are_all_of_them_and_no_other"
STATISTICS = f"{EXPIRIES}::test_statistics_are_those_of_the_keys_that_can_be_read"

PLACE = "storage/log/place.py"
CAME_BACK = "storage/log/repair/came_back.py"
EXTENTS = "storage/log/repair/extents.py"
REVISIONS = "storage/log/repair/revisions.py"
REPAIR_RUN = "storage/log/repair/run.py"
REPAIR_LOG = "storage/log/repair/log.py"
SOURCES = "storage/log/repair/sources.py"
EXPIRY_ORDER = "storage/log/index/expiry.py"
EXPIRED_COUNT = "storage/log/read/expired.py"
READS = "storage/log/reads.py"
ANSWERS = "storage/log/read/answers.py"
PIECES = "storage/log/format/pieces.py"
READ_ONLY = "storage/log/open/read_only.py"

MUTANTS_AROUND_THE_LOG = (
    # --- forks ---
    Mutant(
        "child-keeps-the-lock-of-its-parent",
        "storage/files.py",
        "        with contextlib.suppress(OSError):  # another thread had just closed the file\n"
        "            self.close()\n",
        "        pass\n",
        (IN_THE_TURN_OF_A_WRITER,),
    ),
    Mutant(
        "child-releases-the-lock-of-its-parent",
        "storage/files.py",
        "        with contextlib.suppress(OSError):  # another thread had just closed the file\n"
        "            self.close()\n",
        "        with contextlib.suppress(OSError):\n"
        "            self.unlock()\n"
        "            self.close()\n",
        (IN_THE_TURN_OF_A_WRITER,),
    ),
    Mutant(
        "child-may-use-the-store-of-its-parent",
        "storage/forks.py",
        "        self.is_inherited = True\n",
        "        pass\n",
        (f"{FORKS}::test_child_gets_an_error_that_says_what_to_do",),
    ),
    Mutant(
        "child-reads-what-its-parent-published",
        "storage/log/read/follower.py",
        '        self._words = memoryview(bytes(PAGE_SIZE)).cast("Q")\n',
        "",
        (f"{FORKS}::test_child_gets_an_error_that_says_what_to_do",),
    ),
    Mutant(
        "listener-that-fails-hides-a-fork-from-others",
        "storage/forks.py",
        "            failures.append(ex)\n",
        "            failures.append(ex)\n            break\n",
        (f"{FORKS}::test_listener_that_fails_keeps_no_other_one_from_hearing_of_a_fork",),
    ),
    Mutant(
        "child-counts-in-the-rows-of-its-parent",
        "storage/counting/counters.py",
        "        try:\n            self._begin()\n        except OSError:\n",
        "        try:\n            pass\n        except OSError:\n",
        (f"{FORKS}::test_child_that_lives_on_keeps_no_lock_of_its_killed_parent",),
    ),
    # --- a folder that was replaced ---
    Mutant(
        "replaced-folder-not-noticed-by-commits",
        PLACE,
        "        self._require(self._expected[-1])\n",
        "",
        (f"{PLACES}::test_commit_is_refused_once_a_backup_takes_the_place_of_the_folder",),
    ),
    Mutant(
        "any-file-is-taken-for-the-one-that-is-open",
        PLACE,
        "        if found == expected.identity:\n",
        "        if found is not None:\n",
        (ONE_FILE,),
    ),
    Mutant(
        "only-the-newest-file-is-looked-at",
        PLACE,
        "        for expected in self._expected:\n",
        "        for expected in self._expected[-1:]:\n",
        (ONE_FILE,),
    ),
    Mutant(
        "active-segment-not-looked-at",
        PLACE,
        "            self._require(_Expected(path, file.identity()))\n",
        "            pass\n",
        (ONE_FILE,),
    ),
    Mutant(
        "missed-file-forgotten",
        PLACE,
        "        self._missed = expected\n",
        "",
        (ONE_FILE,),
    ),
    Mutant(
        "compacted-segment-is-a-replaced-folder",
        "storage/log/health.py",
        "        return published is not None and segment_of(published) == number\n",
        "        return published is not None\n",
        (f"{PLACES}::test_a_segment_that_compaction_removed_is_no_other_store",),
    ),
    # --- repair: what is lost, and what came back ---
    Mutant(
        "older-loss-hides-a-newer-one",
        CAME_BACK,
        "max(lost.get(version.key, 0), version.revision)",
        "version.revision",
        (f"{REPAIRS}::test_a_key_that_came_back_is_told_with_the_newest_value_that_is_lost",),
    ),
    Mutant(
        "older-value-in-place-of-a-lost-one-not-told",
        CAME_BACK,
        "        if newer > revision:\n",
        "        if False:\n",
        (BACKUP_OVER_NEWER,),
    ),
    Mutant(
        "value-from-a-backup-not-told",
        CAME_BACK,
        "        elif log.is_mixed and _is_left_out(key, revision, log.indexes):\n",
        "        elif False:\n",
        (BACKUP_OVER_NEWER,),
    ),
    Mutant(
        "older-index-file-asked-what-came-back",
        CAME_BACK,
        "    for index in indexes:\n",
        "    for index in reversed(indexes):\n",
        (BACKUP_OVER_NEWER,),
    ),
    Mutant(
        "unfinished-repair-not-told",
        REPAIR_RUN,
        "        unfinished = list(self._unfinished_lists())\n",
        "        unfinished: list[Path] = []\n",
        (f"{REPAIRS}::test_a_repair_after_one_that_was_cut_off_tells_what_that_one_lost",),
    ),
    # --- repair: revisions ---
    Mutant(
        "revision-of-index-files-forgotten",
        REVISIONS,
        "    found = [0, *(index.last_revision for index in indexes)]\n",
        "    found = [0]\n",
        (ONE_WITNESS,),
    ),
    Mutant(
        "revision-of-kept-manifests-forgotten",
        REVISIONS,
        "    found += [kept.active.last_revision for _, kept in kept_manifests(files, folder)]\n",
        "",
        (f"{REPAIRS}::test_a_head_that_only_a_kept_manifest_knows_is_kept",),
    ),
    Mutant(
        "loss-that-a-kept-manifest-knows-not-told",
        REVISIONS,
        "        if kept.active.last_revision > max(last_revision, kept.revision_floor)\n",
        "        if False\n",
        (ONE_WITNESS,),
    ),
    Mutant(
        "head-after-a-loss-without-a-gap",
        REPAIR_RUN,
        "        head = known if is_complete else floor\n",
        "        head = known\n",
        (f"{REPAIRS}::test_an_active_segment_shorter_than_its_header_is_a_loss",),
    ),
    Mutant(
        "one-gap-however-many-repairs",
        REPAIR_RUN,
        "        gaps = 1 if old else self._repair_number()\n",
        "        gaps = 1\n",
        (f"{REPAIRS}::test_repairs_without_a_manifest_never_give_out_a_revision_twice",),
    ),
    Mutant(
        "history-of-what-is-lost-can-be-read",
        REPAIR_RUN,
        "old.oldest if old and is_complete else Oldest(head, time_us)",
        "old.oldest if old else Oldest(head, time_us)",
        (f"{REPAIRS}::test_no_repair_takes_revisions_back_although_only_older_records_are_left",),
    ),
    # --- repair: where the log ends ---
    Mutant(
        "unnamed-segments-not-read",
        EXTENTS,
        "ends | {number: self._end_by_page(number) for number in self._unnamed(old)}",
        "ends",
        (BACKUP_OVER_NEWER,),
    ),
    Mutant(
        "mixed-folder-not-noticed",
        EXTENTS,
        "        self.is_mixed = old is None or bool(self._unnamed(old))\n",
        "        self.is_mixed = old is None\n",
        (f"{REPAIRS}::test_a_hole_between_a_backup_and_what_is_newer_is_a_loss",),
    ),
    Mutant(
        "holes-not-told",
        REPAIR_LOG,
        "            self.losses += self._holes()\n",
        "            pass\n",
        (f"{REPAIRS}::test_a_hole_between_a_backup_and_what_is_newer_is_a_loss",),
    ),
    Mutant(
        "frames-behind-the-page-dropped",
        EXTENTS,
        "max(opened.ends[active], end_of_active(opened.segments[active], None))",
        "opened.ends[active]",
        (f"{REPAIRS}::test_a_commit_behind_what_an_older_page_knows_is_kept",),
    ),
    Mutant(
        "cut-off-end-of-a-damaged-segment-not-told",
        EXTENTS,
        "        return max(told, self._size(number)) if told else None\n",
        "        return self._size(number)\n",
        (f"{REPAIRS}::test_an_active_segment_shorter_than_its_header_is_a_loss",),
    ),
    Mutant(
        "missing-newest-segment-not-told",
        EXTENTS,
        "        if segment_of(self._published) > newest:\n",
        "        if False:\n",
        (f"{REPAIRS}::test_a_segment_that_only_the_commit_page_knows_is_a_loss",),
    ),
    Mutant(
        "durable-word-not-asked-by-repair",
        EXTENTS,
        "        for position in (self._published, self._durable):\n",
        "        for position in (self._published,):\n",
        (f"{REPAIRS}::test_an_end_that_was_durable_and_is_gone_is_a_loss",),
    ),
    Mutant(
        "missing-segment-not-told",
        REPAIR_LOG,
        "                if end != HEADER_SIZE:\n",
        "                if False:\n",
        (f"{REPAIRS}::test_an_active_segment_shorter_than_its_header_is_a_loss",),
    ),
    Mutant(
        "losses-in-segments-not-told",
        REPAIR_LOG,
        "            self.losses += source.losses()\n",
        "            pass\n",
        (f"{REPAIRS}::test_an_active_segment_shorter_than_its_header_is_a_loss",),
    ),
    Mutant(
        "lost-header-not-told",
        SOURCES,
        "        if self.segment is None and self.end <= HEADER_SIZE and not self.is_end_known:\n",
        "        if False:\n",
        (f"{REPAIRS}::test_an_active_segment_shorter_than_its_header_is_a_loss",),
    ),
    Mutant(
        "gaps-not-told",
        SOURCES,
        "            if salvage.is_filled(gap, kept):\n",
        "            if True:\n",
        (f"{REPAIRS}::test_an_active_segment_shorter_than_its_header_is_a_loss",),
    ),
    Mutant(
        "lost-deletes-not-written-again",
        REPAIR_LOG,
        "in_groups(self.sources, deletes):",
        "in_groups(self.sources, ()):",
        (BACKUP_OVER_NEWER,),
    ),
    Mutant(
        "newer-index-files-not-read",
        REPAIR_LOG,
        "        return [number for number in numbers if number in named] + newer\n",
        "        return [number for number in numbers if number in named]\n",
        (BACKUP_OVER_NEWER,),
    ),
    Mutant(
        "clock-of-the-page-forgotten",
        REPAIR_RUN,
        "            clock_us=max(manifest.active.last_time_us, self._clock_us),\n",
        "            clock_us=manifest.active.last_time_us,\n",
        (f"{REPAIRS}::test_a_repair_keeps_the_time_that_processes_have_acted_on",),
    ),
    # --- what has expired ---
    Mutant(
        "expiry-at-the-first-microsecond-counted-twice",
        EXPIRY_ORDER,
        'side="right"',
        'side="left"',
        (SPAN,),
    ),
    Mutant(
        "earlier-expiries-left-out",
        EXPIRY_ORDER,
        "if upcoming and upcoming.after_us <= after_us and through_us",
        "if upcoming and through_us",
        (SPAN,),
    ),
    Mutant(
        "expiries-beyond-the-known-left-out",
        EXPIRY_ORDER,
        " and through_us <= upcoming.through_us:",
        ":",
        (SPAN,),
    ),
    Mutant(
        "expiries-of-one-time-torn-apart",
        EXPIRY_ORDER,
        "        through_us = int(np.partition(later_us, _COUNT)[_COUNT]) - 1\n"
        "        places = places[later_us <= through_us]\n",
        "        through_us = int(np.partition(later_us, _COUNT)[_COUNT])\n"
        "        places = places[later_us < through_us]\n",
        (SPAN,),
    ),
    Mutant(
        "expired-since-the-head-counted-as-there",
        EXPIRED_COUNT,
        "            return view, head, settled.expired + waiting.expired\n",
        "            return view, head, settled.expired\n",
        (f"{EXPIRIES}::test_statistics_look_at_an_expired_key_once",),
    ),
    Mutant(
        "logged-expiry-taken-off-twice",
        EXPIRED_COUNT,
        "before.expired - _logged(before, view, head), before.through_us",
        "before.expired, before.through_us",
        (STATISTICS,),
    ),
    Mutant(
        "overwritten-value-counted-as-expired",
        EXPIRED_COUNT,
        "            if locator is not None and locator.revision == revision:\n",
        "            if locator is not None:\n",
        (STATISTICS,),
    ),
    Mutant(
        "expiry-behind-the-settled-taken-off",
        EXPIRED_COUNT,
        "0 < locator.expires_us <= before.through_us",
        "0 < locator.expires_us",
        (STATISTICS,),
    ),
    Mutant(
        "waiting-kept-under-a-new-head",
        EXPIRED_COUNT,
        "                self._waiting = None\n",
        "",
        (STATISTICS,),
    ),
    Mutant(
        "expired-value-shown",
        READS,
        "        if locator.expires_us and locator.expires_us <= self._judging_us(view, at):\n",
        "        if False:\n",
        ("tests/engine/contract/test_expiry.py::test_expiry_uncovers_no_older_version",),
    ),
    Mutant(
        "expired-value-shown-at-the-head",
        READS,
        "        is_due = entry.expires_us and entry.expires_us <= self._clock.now_us()\n",
        "        is_due = False\n",
        (EXPIRED,),
    ),
    Mutant(
        "expired-value-shown-in-lists",
        ANSWERS,
        "        is_due = 0 < locator.expires_us <= time_us\n",
        "        is_due = False\n",
        (EXPIRED,),
    ),
    # --- large values ---
    Mutant(
        "checksum-of-a-large-value-not-compared",
        PIECES,
        "        if checksum(behind, total) != place.whole:\n",
        "        if False:\n",
        (f"{LARGE}::test_damage_is_an_error_before_anything_is_sent",),
    ),
    Mutant(
        "checksum-of-a-piece-not-compared",
        PIECES,
        "        if checksum(piece) != self._checksums[number]:\n",
        "        if False:\n",
        (f"{LARGE}::test_damage_that_comes_while_a_value_is_sent_is_never_sent",),
    ),
    Mutant(
        "piece-from-the-start-of-its-block",
        PIECES,
        "        return piece[skipped : skipped + size]\n",
        "        return piece[:size]\n",
        (f"{LARGE}::test_pieces_are_the_value",),
    ),
    Mutant(
        "piece-from-the-start-of-the-value",
        PIECES,
        "place.size - start), place.offset + start)",
        "place.size - start), place.offset)",
        (f"{LARGE}::test_pieces_are_the_value",),
    ),
    Mutant(
        "checksum-of-a-value-read-in-two-parts-not-compared",
        "storage/log/format/segment.py",
        "        if checksum(tail, checksum(value, checksum(head))) != RESIDUE:\n",
        "        if False:\n",
        (f"{LARGE}::test_damage_is_an_error_where_the_whole_value_is_read",),
    ),
    # --- read-only media ---
    Mutant(
        "files-opened-for-writing-on-read-only-media",
        READ_ONLY,
        "        return self._files.open(path, writable=False)\n",
        "        return self._files.open(path)\n",
        (f"{MEDIA}::test_nothing_is_opened_for_writing",),
    ),
    Mutant(
        "durable-word-not-asked-for-reading",
        READ_ONLY,
        "        return _end_in_log(files, folder, manifest, page.durable or 0)\n",
        "        return _end_in_log(files, folder, manifest, 0)\n",
        (f"{MEDIA}::test_commits_that_were_durable_and_are_gone_are_missed",),
    ),
    Mutant(
        "older-manifest-accepted-for-reading",
        READ_ONLY,
        "        refuse_unnamed(files, folder, manifest)\n",
        "",
        (f"{MEDIA}::test_older_manifest_is_refused_for_reading_too",),
    ),
    Mutant(
        "clock-goes-back-for-reading",
        READ_ONLY,
        "    clock_us = max(time_us, manifest.active.last_time_us)\n",
        "    clock_us = 0\n",
        (f"{MEDIA}::test_expired_value_is_not_shown_again_by_an_earlier_clock",),
    ),
    Mutant(
        "torn-tail-published-for-reading",
        READ_ONLY,
        "    end, time_us = find_end(segment, segment.file.size(), durable=place)\n",
        "    end, time_us = find_end(segment, segment.file.size(), durable=place)\n"
        "    end = segment.file.size()\n",
        (f"{MEDIA}::test_torn_tail_where_nothing_can_be_written_is_left_out",),
    ),
)
