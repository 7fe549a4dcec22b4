"""Test creating, revoking and watching the tokens in a folder."""

from __future__ import annotations

import errno
import hashlib
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.checksum import seal
from rundlet_server.storage.errors import Damaged, InvalidRequest, MissingBackend, UnknownFormat
from rundlet_server.storage.files import File, RealFiles
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.format import FILE_NAME, MAGIC, PAGE_NAME
from rundlet_server.storage.tokens.interface import TokenTable
from rundlet_server.storage.tokens.opening import open_tokens
from rundlet_server.storage.tokens.watch import TokenWatch
from tests.support import PATIENCE_S
from tests.support.disks.faulty_files import Call, FaultyFiles
from tests.support.models.model import Clock


def test_secret_is_shown_once_and_only_its_hash_is_kept(tmp_path: Path):
    token, secret = TokenFile(tmp_path).add("app", "write", prefix="app/")

    stored = (tmp_path / FILE_NAME).read_bytes()
    assert secret.encode() not in stored
    assert secret.rpartition("_")[2].encode() not in stored
    assert token.digest == hashlib.sha256(secret.encode()).digest()
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_tokens_are_read_as_they_were_made(tmp_path: Path):
    clock = Clock()
    file = TokenFile(tmp_path, clock=clock)
    made = [file.add("app", "write", prefix="app/é")[0]]
    made.append(file.add("backup", "read", expires_us=clock() + 5)[0])

    assert TokenFile(tmp_path).read() == made


def test_watch_sees_a_change_at_once(tmp_path: Path):
    watch = TokenWatch(tmp_path, clock=lambda: 0.0)
    _, secret = TokenFile(tmp_path).add("app", "read")

    found = watch.current().find(secret)
    TokenFile(tmp_path).remove("app")

    assert found is not None
    assert found.name == "app"
    assert watch.current().find(secret) is None


def test_watch_in_another_process_sees_a_change_at_once(tmp_path: Path):
    program = """
import sys
from pathlib import Path
from rundlet_server.storage.tokens.watch import TokenWatch
watch = TokenWatch(Path(sys.argv[1]), clock=lambda: 0.0)
for secret in sys.stdin:
    print(watch.current().find(secret.strip()) is not None, flush=True)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def is_known(secret: str) -> str:
            process.stdin.write(f"{secret}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        assert is_known("none") == "False"
        _, secret = TokenFile(tmp_path).add("app", "read")
        assert is_known(secret) == "True"
        TokenFile(tmp_path).remove("app")
        assert is_known(secret) == "False"
        process.stdin.close()


def test_change_that_was_not_counted_is_seen_within_a_second(tmp_path: Path):
    now = [0.0]
    watch = TokenWatch(tmp_path, clock=lambda: now[0])
    other = tmp_path / "other"
    _, secret = TokenFile(other).add("app", "read")
    (other / FILE_NAME).rename(tmp_path / FILE_NAME)  # as by a process that died before counting

    before = watch.current().find(secret)
    now[0] += 1

    assert before is None
    assert watch.current().find(secret) is not None


@pytest.mark.parametrize(
    "secret", ["", "rundlet_", "rundlet_00000000_x", "é", "\ud800", "x" * 100_000]
)
def test_wrong_secret_is_nobodys(tmp_path: Path, secret: str):
    file = TokenFile(tmp_path)
    file.add("app", "admin")

    assert TokenWatch(tmp_path).current().find(secret) is None


def test_right_id_with_another_secret_is_nobodys(tmp_path: Path):
    token, secret = TokenFile(tmp_path).add("app", "admin")

    assert TokenWatch(tmp_path).current().find(secret[:-1]) is None
    assert TokenWatch(tmp_path).current().find(f"rundlet_{token.token_id}_") is None


@pytest.mark.parametrize(
    ("name", "prefix"), [("", ""), ("x" * 65, ""), ("a\nb", ""), ("ok", "\ud800"), ("taken", "")]
)
def test_impossible_token_is_refused(tmp_path: Path, name: str, prefix: str):
    file = TokenFile(tmp_path)
    before = [file.add("taken", "read")[0]]

    with pytest.raises(InvalidRequest):
        file.add(name, "read", prefix=prefix)

    assert file.read() == before


def test_token_that_has_expired_already_is_refused(tmp_path: Path):
    clock = Clock()

    with pytest.raises(InvalidRequest, match="expired already"):
        TokenFile(tmp_path, clock=clock).add("app", "read", expires_us=clock())


def test_every_flipped_bit_is_damage_or_another_format(tmp_path: Path):
    file = TokenFile(tmp_path)
    file.add("app", "admin")
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()

    for position in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises((Damaged, UnknownFormat)):
            file.read()


def test_every_cut_is_damage(tmp_path: Path):
    file = TokenFile(tmp_path)
    file.add("app", "admin")
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()

    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(Damaged):
            file.read()


def test_unknown_format_is_refused_by_name(tmp_path: Path):
    (tmp_path / FILE_NAME).write_bytes(
        seal(MAGIC + (2).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\x80")
    )

    with pytest.raises(UnknownFormat, match="TOKENS"):
        TokenFile(tmp_path).read()


def test_damaged_tokens_let_nobody_in_and_are_not_overwritten(tmp_path: Path):
    file = TokenFile(tmp_path)
    file.add("app", "admin")
    watch = TokenWatch(tmp_path, clock=iter(range(10)).__next__)
    (tmp_path / FILE_NAME).write_bytes(b"garbage")

    with pytest.raises(Damaged):
        watch.current()
    with pytest.raises(Damaged):
        file.add("other", "read")

    assert (tmp_path / FILE_NAME).read_bytes() == b"garbage"


def test_garbage_in_the_page_of_changes_is_harmless(tmp_path: Path):
    TokenFile(tmp_path).add("app", "admin")
    (tmp_path / PAGE_NAME).write_bytes(b"\xff" * 4_096)
    watch = TokenWatch(tmp_path, clock=lambda: 0.0)

    _, secret = TokenFile(tmp_path).add("other", "read")

    assert watch.current().find(secret) is not None


def test_every_failing_call_leaves_the_old_tokens_or_the_new(tmp_path: Path):
    call = 0
    while True:
        call += 1
        folder = tmp_path / str(call)
        _, kept = TokenFile(folder).add("kept", "read")
        files = FaultyFiles(_failing_at(call))
        try:
            TokenFile(folder, files=files).add("new", "read")
        except OSError:
            names = [token.name for token in TokenFile(folder).read()]
            assert names in (["kept"], ["kept", "new"])
            assert TokenWatch(folder).current().find(kept) is not None
            continue
        break
    assert call > 5


def _failing_at(number: int) -> Callable[[int, Call], OSError | None]:
    """Fails the call with that number, counted from 1."""

    def failing(index: int, _call: Call) -> OSError | None:
        return OSError(errno.EIO, "injected") if index == number else None

    return failing


def test_slower_look_at_the_file_undoes_no_newer_one(tmp_path: Path):
    """A request reads the tokens, one is taken back, another request reads them: all at a time."""
    file = TokenFile(tmp_path)
    _, secret = file.add("app", "read")
    files = HeldUp()
    slow: list[Future[TokenTable]] = []

    def clock() -> float:
        if slow and threading.current_thread() is threading.main_thread():
            files.may_go_on.set()
            slow[0].result(PATIENCE_S)
        return 0.0

    watch = TokenWatch(tmp_path, files=files, clock=clock)
    file.add("other", "read")
    with ThreadPoolExecutor(1) as pool:
        files.holds = True
        looks = pool.submit(watch.current)
        assert files.has_opened.wait(PATIENCE_S)
        file.remove("app")
        files.holds = False
        slow.append(looks)
        at_once = watch.current().find(secret)

    assert at_once is None
    assert watch.current().find(secret) is None


class HeldUp(RealFiles):
    """Whoever reads the tokens is held up once the file is open."""

    def __init__(self) -> None:
        self.holds = False
        self.has_opened = threading.Event()
        self.may_go_on = threading.Event()

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> File:
        opened = super().open(path, create=create, writable=writable)
        if self.holds:
            self.has_opened.set()
            assert self.may_go_on.wait(PATIENCE_S)
        return opened


def test_file_that_goes_lets_nobody_in(tmp_path: Path):
    TokenFile(tmp_path).add("app", "admin")
    watch = TokenWatch(tmp_path, clock=iter(range(100)).__next__)
    (tmp_path / FILE_NAME).unlink()

    for _ in range(3):
        with pytest.raises(Damaged):
            watch.current()


@pytest.mark.parametrize(
    ("address", "folder", "is_there"),
    [
        ("./data", None, True),
        ("./data", Path("elsewhere"), True),
        ("file:words.txt", None, False),
        ("file:words.txt", Path("elsewhere"), True),
        ("memory", None, False),
        ("etcd://h1/NAME", Path("elsewhere"), True),
    ],
)
def test_store_has_the_tokens_of_its_address(address, folder, is_there, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    tokens = open_tokens(StoreAddress.parse(address), folder)

    assert (tokens is not None) is is_there
    if tokens is not None:
        _, secret = tokens.add("app", "read")
        assert tokens.watch().current().find(secret) is not None
        assert TokenFile(tmp_path / (folder or "data")).read() == tokens.read()


@pytest.mark.parametrize(
    ("address", "module", "extra"),
    [("postgresql://h1/NAME", "psycopg", "postgres"), ("etcd://h1/NAME", "grpc", "etcd")],
)
def test_tokens_of_a_store_need_its_extra(monkeypatch, address, module, extra):
    for name in [name for name in sys.modules if f".{extra}" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingBackend, match=rf"pip install 'rundlet\[{extra}\]'"):
        open_tokens(StoreAddress.parse(address))
