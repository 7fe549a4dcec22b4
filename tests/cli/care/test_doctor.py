"""Test what ``rundlet doctor`` and ``rundlet config`` report and advise."""

from __future__ import annotations

import csv
import errno
import http.client
import json
import os
import shutil
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from rundlet_server.cli.doctor import findings
from rundlet_server.cli.doctor import folder as checks_folder
from rundlet_server.cli.doctor import machine as checks_machine
from rundlet_server.cli.doctor import server as checks_server
from rundlet_server.cli.doctor.machine import lock_holders
from rundlet_server.cli.exits import ExitCode
from rundlet_server.cli.group import loaded
from rundlet_server.cli.place.ask import Metrics, Reply
from rundlet_server.functions.settings import SETTINGS
from rundlet_server.storage import errors
from rundlet_server.storage.care import Inspection
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.reports import Health
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.removal import remove_in_use
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import Ended, run, run_process
from tests.support.processes.servers import RundletServer
from tests.support.wire.served_model import served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with three keys."""
    folder = tmp_path / "store"
    with_keys(folder, StoreSettings())
    return folder


def with_keys(folder: Path, settings: StoreSettings) -> None:
    store = open_log_store(folder, settings)
    for key in ("a", "b", "c"):
        store.commit(Txn([Put(key, b"value of " + key.encode())]))
    store.close()


def doctor(*arguments: str) -> tuple[Ended, dict[str, dict[str, object]]]:
    """What it says for machines, by the name of the finding."""
    ended = run("doctor", "--json", *arguments)
    told = json.loads(ended.out)
    assert told["exit_code"] == ended.code
    return ended, {finding["name"]: finding for finding in told["findings"]}


def levels(found: dict[str, dict[str, object]], level: str) -> set[str]:
    return {name for name, finding in found.items() if finding["level"] == level}


def test_good_folder_has_nothing_but_good_findings(folder, monkeypatch):
    monkeypatch.setattr(checks_machine, "_FREE_SHARE_MIN", 0.0)
    monkeypatch.setattr(checks_machine, "_FREE_BYTES_MIN", 0)
    monkeypatch.setattr(checks_machine, "_SLOW_SYNC_S", 60.0)
    monkeypatch.setattr(checks_machine, "_file_system_kind", lambda _: "ext4")
    monkeypatch.setattr(checks_machine, "_FILES_MIN", 1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    ended, found = doctor("--data", str(folder))

    assert ended.code == 0
    assert levels(found, "warning") | levels(found, "error") == set()
    assert {"software", "folder", "file system", "fsync", "store", "clock", "tokens"} <= set(found)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_people_see_signs_advice_and_a_summary(folder):
    folder.chmod(0o755)

    ended = run("doctor", "--data", str(folder))

    assert ended.code == 0
    assert "✓ store " in ended.text
    assert "! folder " in ended.text
    assert f"→ other users may look into it: chmod 700 {folder}" in ended.text
    assert ended.text.splitlines()[-1].endswith("0 errors")


def test_missing_folder_and_missing_store_are_exit_code_4(tmp_path):
    for place, name in ((tmp_path / "none", "folder"), (tmp_path, "store")):
        ended, found = doctor("--data", str(place))

        assert ended.code == 4
        assert levels(found, "error") == {name}
    assert list(tmp_path.iterdir()) == []


def test_damage_is_exit_code_5(folder):
    path = folder / "0000000001.log"
    path.write_bytes(b"X" + path.read_bytes()[1:])

    ended, found = doctor("--data", str(folder))

    assert ended.code == 5
    assert "0000000001.log" in str(found["store"]["seen"])
    assert "rundlet repair" in str(found["store"]["advice"])


def test_damage_that_no_server_would_start_with_is_found(folder):
    path = folder / "0000000001.log"
    path.write_bytes(path.read_bytes().replace(b"value of b", b"value of X"))

    ended, found = doctor("--data", str(folder))

    assert ended.code == 5
    assert "1 files are damaged, such as 0000000001.log" in str(found["store"]["seen"])


def test_missing_manifest_is_damage(folder):
    (folder / "MANIFEST").unlink()

    ended, found = doctor("--data", str(folder))

    assert ended.code == 5
    assert "repair" in str(found["store"]["advice"])


@pytest.mark.parametrize("mark", ["RESTORING", "RESTORING.tmp"])
def test_restore_that_has_not_finished_is_told_and_is_no_store(tmp_path, mark):
    (tmp_path / mark).touch()

    ended, found = doctor("--data", str(tmp_path))

    assert ended.code == 4
    assert "has not finished" in str(found["store"]["seen"])
    assert found["store"]["advice"] == "wait for it, or run it again"
    assert "has not finished" in run("get", "k", "--data", str(tmp_path)).err


def test_earlier_repair_is_told(folder):
    (folder / "repair-1").mkdir()

    ended, found = doctor("--data", str(folder))

    assert ended.code == 0
    assert found["damage"]["level"] == "warning"


def test_store_from_the_future_is_told(tmp_path):
    ahead = StoreSettings(clock=lambda: system_clock_us() + 3_600_000_000)
    with_keys(tmp_path / "store", ahead)

    _, found = doctor("--data", str(tmp_path / "store"))

    assert found["clock"]["level"] == "warning"
    assert "after this machine's time" in str(found["clock"]["seen"])


def test_folder_of_another_boot_says_that_the_tail_is_read(tmp_path):
    with_keys(tmp_path / "store", StoreSettings(boot_id=1))

    _, found = doctor("--data", str(tmp_path / "store"))

    assert "reads the tail" in str(found["restart"]["seen"])


def test_who_has_the_store_open_is_told(folder):
    store = open_log_store(folder)
    try:
        _, found = doctor("--data", str(folder))
    finally:
        store.close()

    assert found["in use"]["seen"] == f"open in process {os.getpid()}"
    assert lock_holders(folder / "COMMIT") == []
    assert lock_holders(folder / "nothing") == []


def test_backlog_and_dead_bytes_are_told(tmp_path, monkeypatch):
    settings = StoreSettings(sync="never", segment_records_max=1, maintain_inline=False)
    store = open_log_store(tmp_path / "store", settings)
    for number in range(5):
        store.commit(Txn([Put("same", bytes(1_000 + number))]))
    store.close()
    monkeypatch.setattr(checks_folder, "_BACKLOG_MAX", 3)
    monkeypatch.setattr(checks_folder, "_DEAD_BYTES_MIN", 0)
    monkeypatch.setattr(checks_folder, "_DEAD_SHARE_MAX", 0.5)

    _, found = doctor("--data", str(tmp_path / "store"))

    assert found["backlog"]["seen"] == "4 full segments have no index file yet"
    assert {"backlog", "dead bytes"} <= levels(found, "warning")


def test_tokens_are_counted_and_their_file_is_looked_at(folder):
    run("token", "add", "one", "--data", str(folder))
    _, found = doctor("--data", str(folder))
    assert found["tokens"]["level"] == "ok"
    assert found["tokens"]["seen"] == "1, of which 0 have expired"

    (folder / "TOKENS").chmod(0o644)
    _, found = doctor("--data", str(folder))
    assert found["tokens"]["level"] == "warning"

    (folder / "TOKENS").write_bytes(b"garbage")
    ended, found = doctor("--data", str(folder))
    assert ended.code == 5
    assert found["tokens"]["level"] == "error"


@pytest.mark.parametrize(
    ("kind", "level"),
    [("nfs4", "error"), ("fuse.sshfs", "error"), ("tmpfs", "warning"), ("overlay", "warning")],
)
def test_file_systems_that_do_not_do_are_named(monkeypatch, tmp_path, kind, level):
    monkeypatch.setattr(checks_machine, "_file_system_kind", lambda _: kind)

    found = checks_machine.file_system(tmp_path)

    assert found.level == level
    assert kind in found.seen


def test_file_system_kind_is_that_of_the_nearest_mount_point():
    assert checks_machine._file_system_kind(Path("/proc/self")) == "proc"
    assert checks_machine._file_system_kind(Path("/")) != ""


def test_full_and_slow_disks_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(checks_machine, "_FREE_BYTES_MIN", 2**62)
    monkeypatch.setattr(checks_machine, "_INODES_MIN", 2**62)
    monkeypatch.setattr(checks_machine, "_SLOW_SYNC_S", 0.0)
    found = [*checks_machine.space(tmp_path), checks_machine.syncs(tmp_path)]
    assert {finding.level for finding in found} == {"warning"}

    monkeypatch.setattr(checks_machine, "DISK_FREE_BYTES_MIN", 2**62)
    assert next(checks_machine.space(tmp_path)).level == "error"


def test_file_system_that_does_not_count_its_space_is_not_full(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result([0] * 11))

    (finding,) = checks_machine.space(tmp_path)

    assert (finding.level, finding.name) == ("ok", "free space")


def test_disk_that_refuses_to_write_is_told_and_ends_nothing(folder, monkeypatch):
    def refuse(_: Path) -> Iterator[float]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checks_machine, "_sync_times_s", refuse)

    ended, found = doctor("--data", str(folder))

    assert ended.code == 4
    assert found["fsync"]["seen"] == "the disk refuses to write: No space left on device"
    assert found["store"]["level"] == "ok"
    assert "tokens" in found


def test_disk_that_refuses_to_read_is_told_and_ends_nothing(folder, monkeypatch):
    def refuse(_: Path) -> Inspection:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "MANIFEST")

    monkeypatch.setattr(checks_folder, "inspect", refuse)

    ended, found = doctor("--data", str(folder))

    assert ended.code == 4
    assert found["store"]["seen"] == "MANIFEST: Input/output error"
    assert "tokens" in found


def test_good_server(tmp_path, monkeypatch):
    monkeypatch.setattr(checks_server, "_SLOW_S", 10.0)
    monkeypatch.setattr(checks_server, "_FREE_BYTES_MIN", 0)
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "stderr") as server:
        ended, found = doctor("--url", server.url)

        assert ended.code == 0
        assert levels(found, "ok") == set(found)
        assert "sync always" in str(found["service"]["seen"])
        assert found["exposure"]["seen"] == "open to this machine"
        assert "free space" in found

        run("token", "add", "one", "--prefix", "x/", "--data", str(tmp_path / "data"))
        ended, found = doctor("--url", server.url)
        assert ended.code == 6
        assert found["service"]["seen"] == "the server asks for a token"


@pytest.mark.parametrize(
    ("ahead_s", "took_s", "level"),
    [
        (0, 0.1, "ok"),
        (-8, 10, "ok"),
        (-8, 0.1, "warning"),
        (-20, 10, "warning"),
        (8, 10, "warning"),
    ],
)
def test_slow_answer_is_no_wrong_clock(ahead_s, took_s, level):
    """The server tells its time at some moment between the request and the end of its answer."""
    headers = http.client.HTTPMessage()
    headers["Date"] = formatdate(time.time() + ahead_s, usegmt=True)

    assert checks_server._clock(Reply(200, headers, b"{}", took_s)).level == level


def test_nobody_there_is_exit_code_4():
    ended, found = doctor("--url", "http://127.0.0.1:1")

    assert ended.code == 4
    assert "rundlet serve" in str(found["server"]["advice"])


def test_server_in_trouble_says_why():
    class DamagedStore(ModelStore):
        def get(self, key, *, at=None):
            raise errors.Damaged("/data/0000000001.log", 8, f"not what was written: {key} {at}")

    store = DamagedStore()
    store.trouble = "writes are refused: No space left on device"
    with served(store) as url:
        run("get", "a", "--url", url)
        ended, found = doctor("--url", url)

    assert ended.code == 5
    assert found["ready"]["seen"] == "writes are refused: No space left on device"
    assert "damaged 1" in str(found["failures"]["seen"])


def test_metrics_are_read_by_label():
    metrics = Metrics('# HELP a It.\na{x="1",y="2"} 3\na{x="1",y="4"} 5\nb 7\n')

    assert metrics.total("a", x="1") == 8
    assert metrics.by("a", "y", x="1") == [("2", 3.0), ("4", 5.0)]
    assert metrics.total("nothing") == 0


def test_config_of_a_server_is_what_it_runs_with(tmp_path):
    arguments = ("--data", tmp_path / "data", "--sync", "interval", "--sync-interval", "3s")
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        settings = json.loads(run("config", "--json", "--url", server.url).out)
        shown = run("config", "--url", server.url).text

    assert settings["RUNDLET_SYNC"] == "interval"
    assert settings["RUNDLET_SYNC_INTERVAL"] == "3.0"
    assert settings["RUNDLET_MAX_KEY_BYTES"] == "2048"
    assert settings["RUNDLET_READ_ONLY"] == "0"
    assert ["RUNDLET_SYNC_INTERVAL", "3.0", "server"] in [
        line.split() for line in shown.splitlines()
    ]


def test_config_of_a_server_has_the_names_and_values_of_config_before_it_starts(tmp_path):
    options = ("--sync", "interval", "--sync-interval", "3s", "--slow-ms", "7", "--keep-for", "2h")
    before = json.loads(run("config", "--json", *options).out)
    arguments = ("--data", tmp_path / "data", *options)
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        running = json.loads(run("config", "--json", "--url", server.url).out)

    assert len(running) > 12
    assert running.items() <= before.items()


def test_config_of_the_environment_says_where_each_setting_comes_from():
    ended = run_process("config", RUNDLET_KEEP_FOR="2h", RUNDLET_SYNC="never")

    lines = {line.split()[0]: line for line in ended.text.splitlines()}
    assert ended.code == 0
    assert lines["RUNDLET_KEEP_FOR"].endswith("7200.0\tenvironment")
    assert lines["RUNDLET_SYNC"].endswith("never\tenvironment")
    assert lines["RUNDLET_KEEP_VERSIONS"].endswith("default: what the store has; 10 if it is new")
    assert lines["RUNDLET_SYNC_INTERVAL"].endswith("1.0\tdefault")
    assert "RUNDLET_COUNTERS" not in lines


def test_config_shows_exactly_what_serve_reads():
    options = {row.option: row for row in SETTINGS if row.option}
    serve = {param.opts[0] for param in loaded("serve").params}

    shown = json.loads(run_process("config", "--json").out)

    assert set(options) == {name for name in serve if name.startswith("--")} - {"--help"}
    assert list(shown) == [row.label for row in options.values()]


def test_config_shows_what_options_of_serve_lead_to():
    ended = run_process("config", "--workers", "2", "--read-only", RUNDLET_THREADS="5")

    lines = {line.split()[0]: line.split()[1:] for line in ended.text.splitlines()}
    assert lines["RUNDLET_WORKERS"] == ["2", "option"]
    assert lines["RUNDLET_READ_ONLY"] == ["1", "option"]
    assert lines["RUNDLET_THREADS"] == ["5", "environment"]
    assert lines["RUNDLET_SERVER"] == ["granian", "default"]
    assert lines["RUNDLET_MAX_CONNECTIONS"] == ["4000", "default"]
    assert lines["--in-memory"] == ["0", "default"]


def test_config_of_a_server_takes_no_options_of_serve():
    ended = run_process("config", "--sync", "never", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert "--sync" in ended.err


def test_config_names_the_setting_that_cannot_be_read():
    ended = run_process("config", RUNDLET_SYNC="sometimes")

    assert ended.code == 2
    assert "RUNDLET_SYNC" in ended.err
    assert ended.err.count("\n") == 1


def test_doctor_is_quick_enough_to_be_run_often(folder):
    started_s = time.monotonic()

    run("doctor", "--data", str(folder))

    assert time.monotonic() - started_s < 20


def test_file_that_this_user_cannot_open_is_an_error(folder, monkeypatch):
    """Root can open all, so the system's answer is that for another user."""
    access = os.access
    monkeypatch.setattr(
        checks_folder.os, "access", lambda path, mode: path.name != "LOCK" and access(path, mode)
    )

    ended, found = doctor("--data", str(folder))

    assert ended.code == 4
    assert levels(found, "error") == {"files"}
    assert str(found["files"]["seen"]).startswith("LOCK (of user ")
    assert f"chown -R {os.geteuid()} {folder}" in str(found["files"]["advice"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_subfolder_that_does_not_belong_to_the_owner_of_the_folder_is_a_warning(folder):
    for name in ("backups", "lost+found"):
        (folder / name).mkdir(mode=0o700)
    os.chown(folder, 4_242, 4_242)
    for path in folder.iterdir():
        os.chown(path, 0 if path.is_dir() else 4_242, 4_242)

    _, found = doctor("--data", str(folder))

    assert found["files"]["level"] == "warning"
    assert "backups (of user 0) do not belong to user 4242" in str(found["files"]["seen"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_that_do_not_belong_to_the_owner_of_the_folder_are_a_warning(folder):
    for path in (folder, *folder.iterdir()):
        os.chown(path, 65_534, 65_534)
    os.chown(folder / "LOCK", 0, 0)

    ended, found = doctor("--data", str(folder))

    assert ended.code == 0
    assert "files" in levels(found, "warning")
    assert "LOCK (of user 0) do not belong to user 65534" in str(found["files"]["seen"])


def test_file_system_that_is_mounted_read_only_is_told_as_such(folder, monkeypatch):
    monkeypatch.setattr(checks_machine, "is_read_only", lambda _: True)

    ended, found = doctor("--data", str(folder))

    assert ended.code == 0  # what reads works there
    assert "folder" in levels(found, "warning")
    assert "mounted read-only" in str(found["folder"]["seen"])
    assert "owner" not in str(found["folder"]["advice"])
    assert "files" not in found


def test_damage_leads_to_its_exit_code_whatever_else_is_found():
    damage = findings.bad("store", "damaged", "", ExitCode.DAMAGED)
    refused = findings.bad("service", "refused", "", ExitCode.NOT_ALLOWED)

    assert findings.exit_code([damage, refused]) == ExitCode.DAMAGED
    assert findings.exit_code([refused]) == ExitCode.NOT_ALLOWED
    assert findings.exit_code([]) == ExitCode.DONE


def test_process_that_holds_a_removed_store_is_told(folder, tmp_path):
    backup = tmp_path / "backup"
    shutil.copytree(folder, backup)
    store = open_log_store(folder)
    remove_in_use(folder)
    shutil.copytree(backup, folder)

    ended, found = doctor("--data", str(folder))
    store.close()

    assert ended.code == 4
    assert f"process {os.getpid()} has a store open that was removed" in str(
        found["in use"]["seen"]
    )


def test_server_with_a_warning_is_told():
    class LateStore(ModelStore):
        def health(self):
            return Health([], warnings=["no key expires"])

    with served(LateStore()) as url:
        ended, found = doctor("--url", url)

    assert ended.code == 0
    assert found["ready"]["level"] == "warning"
    assert found["ready"]["seen"] == "no key expires"


def test_findings_and_settings_come_in_every_format(folder):
    whole = json.loads(run("doctor", "--data", str(folder), "--json").out)["findings"]

    array = json.loads(run("doctor", "--data", str(folder), "--format", "json").out)
    heading, *rows = csv.reader(
        run("doctor", "--data", str(folder), "--format", "csv").text.splitlines()
    )
    settings = [line.split("\t") for line in run("config", "--format", "tsv").text.splitlines()]

    assert [each["name"] for each in array] == [each["name"] for each in whole]
    assert heading == ["level", "name", "seen", "advice", "code"]
    assert [row[1] for row in rows] == [each["name"] for each in whole]
    assert settings[0] == ["name", "value", "source"]
    assert {len(cells) for cells in settings} == {3}


def test_long_findings_go_on_below_their_first_line_on_a_terminal():
    found = [findings.bad("disk", "word " * 30, "do " * 30), findings.good("x", "y")]

    lines = list(findings.lines(found, 40))

    assert all(len(line) <= 40 for line in lines)
    assert lines[0].startswith("✗ disk  word")
    assert lines[1].startswith("        word")
    assert next(line for line in lines if "→" in line).startswith("        → do")
    assert len(list(findings.lines(found))) == 4
