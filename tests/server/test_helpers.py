"""Test the port, the helper processes and the private folders of a server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rundlet_server.functions.settings import ServerSettings
from rundlet_server.server.helpers.needed import helpers
from rundlet_server.server.helpers.scratch import ScratchFolder, sweep
from rundlet_server.server.helpers.watched import WatchedProcess
from rundlet_server.server.listen.address import HeldPort, PortError, is_loopback, require_address
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.counting.counters import SharedCounters
from tests.support.processes.servers import is_running, wait_for

# A maintenance process whose folder is removed just before it opens the store.
REMOVED_AT_START = """
import shutil, sys
from rundlet_server.storage.log import maintenance

maintenance.trim_often = lambda: shutil.rmtree(sys.argv[1])
maintenance.main(sys.argv[1:])
"""

# Stands in for a helper: writes its process id, then ends when its stdin does.
HELPER = "import os, sys; print(os.getpid(), file=open(sys.argv[1], 'a')); sys.stdin.read()"


@pytest.fixture
def pid_file(tmp_path):
    path = tmp_path / "pids"
    path.touch()
    return path


@pytest.fixture
def helper_command(pid_file):
    return [sys.executable, "-P", "-c", HELPER, str(pid_file)]


def helper_pids(pid_file: Path) -> list[int]:
    return [int(line) for line in pid_file.read_text().splitlines()]


# --- the port ------------------------------------------------------------------------------


def test_port_0_is_a_real_port():
    with HeldPort("127.0.0.1", 0) as port:
        assert port.address.url == f"http://127.0.0.1:{port.listener.getsockname()[1]}"


@pytest.mark.parametrize("is_listening", [False, True])
def test_held_port_is_refused_to_others(is_listening):
    with HeldPort("127.0.0.1", 0) as port:
        if is_listening:
            port.listener.listen()

        with pytest.raises(PortError, match=f"port {port.address.port} .* is in use"):
            HeldPort("127.0.0.1", port.address.port)


@pytest.mark.skipif(sys.platform != "linux", reason="workers inherit a socket elsewhere")
def test_shared_port_is_for_workers_only():
    with HeldPort("127.0.0.1", 0) as port, socket.socket() as worker:
        port.share_with_workers()
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(("127.0.0.1", port.address.port))
        worker.listen()

        for _ in range(20):  # the kernel spreads connections; none may go to the held socket
            port.connect().close()
            worker.accept()[0].close()
        with pytest.raises(PortError):
            HeldPort("127.0.0.1", port.address.port)


def test_unknown_host_is_named():
    with pytest.raises(PortError, match=r"cannot listen on nowhere\.invalid port 1"):
        HeldPort("nowhere.invalid", 1)


@pytest.mark.parametrize(
    "host", ["localhost:80", "[::1]", "nowhere.invalid", "unix:/tmp/socket", "x" * 300, "a..b"]
)
def test_host_that_is_none_is_refused(host):
    with pytest.raises(PortError, match="does not resolve to an address"):
        require_address(host)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.0.2.1", False),
        ("nowhere.invalid", False),
    ],
)
def test_only_loopback_is_loopback(host, expected):
    assert is_loopback(host) is expected


# --- helper processes ----------------------------------------------------------------------


def test_helper_runs_and_ends_with_the_block(helper_command, pid_file):
    with WatchedProcess("helper", helper_command) as helper:
        wait_for(lambda: helper_pids(pid_file) == [helper.pid])

    assert not is_running(helper.pid)


def test_dead_helper_is_started_again(helper_command, pid_file):
    with WatchedProcess("helper", helper_command, back_off_first_s=0.01) as helper:
        wait_for(lambda: helper_pids(pid_file))
        os.kill(helper.pid, signal.SIGKILL)

        wait_for(lambda: len(helper_pids(pid_file)) == 2)

    assert not any(is_running(pid) for pid in helper_pids(pid_file))


def test_helper_that_cannot_be_started_is_tried_again(
    tmp_path: Path, helper_command, pid_file, caplog: pytest.LogCaptureFixture
):
    program = tmp_path / "program"
    program.symlink_to(helper_command[0])
    command = [str(program), *helper_command[1:]]
    with WatchedProcess("helper", command, back_off_first_s=0.01) as helper:
        wait_for(lambda: helper_pids(pid_file))
        program.unlink()
        os.kill(helper.pid, signal.SIGKILL)
        wait_for(lambda: "the helper process could not be started" in caplog.text)
        program.symlink_to(helper_command[0])

        wait_for(lambda: len(helper_pids(pid_file)) == 2)

    assert not any(is_running(pid) for pid in helper_pids(pid_file))


def test_failing_helper_is_started_later_and_later(pid_file):
    program = "import sys, time; print(time.monotonic(), file=open(sys.argv[1], 'a')); sys.exit(1)"
    command = [sys.executable, "-P", "-c", program, str(pid_file)]

    with WatchedProcess("helper", command, back_off_first_s=0.3):
        wait_for(lambda: len(pid_file.read_text().splitlines()) >= 3)

    first_s, second_s, third_s, *_ = map(float, pid_file.read_text().splitlines())
    assert second_s - first_s >= 0.3
    assert third_s - second_s >= 0.6


def test_helper_ends_when_its_parent_is_killed(helper_command, pid_file):
    program = (
        "import sys, time\n"
        "from rundlet_server.server.helpers.watched import WatchedProcess\n"
        "with WatchedProcess('helper', sys.argv[1:]): time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, *helper_command])
    wait_for(lambda: helper_pids(pid_file))

    parent.kill()
    parent.wait()

    wait_for(lambda: not is_running(helper_pids(pid_file)[0]))


# --- private folders -----------------------------------------------------------------------


def test_scratch_folder_is_private_and_removed_when_left(tmp_path):
    with ScratchFolder(tmp_path) as scratch:
        (scratch.path / "file").touch()
        mode = scratch.path.stat().st_mode & 0o777

    assert mode == 0o700
    assert list(tmp_path.iterdir()) == []


def test_leftover_folder_is_swept_and_a_living_one_is_not(tmp_path):
    (tmp_path / "rundlet-run-leftover" / "data").mkdir(parents=True)
    with ScratchFolder(tmp_path) as living:
        sweep(tmp_path)

        assert list(tmp_path.iterdir()) == [living.path]


def test_folder_of_a_start_that_was_killed_is_swept_and_a_new_one_is_not(tmp_path: Path):
    """A folder has no name until it is locked, so a new one may be of a server that starts."""
    old, new = tmp_path / ".rundlet-new-old", tmp_path / ".rundlet-new-new"
    old.mkdir()
    new.mkdir()
    long_ago_s = time.time() - 3_600
    os.utime(old, (long_ago_s, long_ago_s))

    sweep(tmp_path)

    assert list(tmp_path.iterdir()) == [new]


def test_sweep_follows_no_link(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "rundlet-run-link").symlink_to(tmp_path / "precious")

    sweep(tmp_path)

    assert (tmp_path / "precious").is_dir()


def test_folder_of_a_killed_process_is_removed(tmp_path):
    program = (
        "import os, pathlib, signal, sys\n"
        "from rundlet_server.server.helpers.scratch import ScratchFolder\n"
        "scratch = ScratchFolder(pathlib.Path(sys.argv[1]))\n"
        "scratch.remove_even_if_killed()\n"
        "(scratch.path / 'data').mkdir()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)

    assert ended.returncode == -signal.SIGKILL
    wait_for(lambda: not list(tmp_path.iterdir()))


def test_folder_stays_away_though_a_helper_starts_late(tmp_path):
    folder = tmp_path / "rundlet-run-gone"
    (helper,) = helpers(StoreAddress.of_folder(folder / "data"), ServerSettings())

    ended = subprocess.run(helper.command, stdin=subprocess.DEVNULL, timeout=60, check=False)

    assert ended.returncode == 0
    assert not folder.exists()
    with pytest.raises(FileNotFoundError):
        SharedCounters(folder / "counters")


def test_folder_removed_while_a_helper_starts_stays_away(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()

    ended = subprocess.run(
        [sys.executable, "-P", "-c", REMOVED_AT_START, str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("address", "read_only", "names"),
    [
        ("./data", False, ["maintenance"]),
        ("./data", True, []),
        ("file:words.txt", True, []),
        ("etcd://h1:2379/NAME", False, []),
        ("postgresql://db/kv", False, []),
    ],
)
def test_only_a_folder_that_can_change_needs_a_helper(address, read_only, names):
    found = helpers(StoreAddress.parse(address), ServerSettings(read_only=read_only))

    assert [helper.name for helper in found] == names
