"""Test the log lines of failed and of slow requests."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.limits import LimitAdvice
from rundlet_server.functions.monitoring.audit import AuditTrail
from rundlet_server.functions.monitoring.logs import LineFile, RequestLog
from rundlet_server.functions.problems import ErrorAnswers
from rundlet_server.functions.request_ids import RequestIds
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage import errors
from rundlet_server.storage.notices.repeats import AT_ONCE
from tests.support.models.model import ModelStore
from tests.support.without_collector import without_collector


class FailingStore(ModelStore):
    """Reads fail."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def get(self, key, *, at=None):
        assert key or at
        raise self._error


def logged(
    capsys: pytest.CaptureFixture[str], store: ModelStore, settings: ServerSettings
) -> list[dict[str, object]]:
    """What is logged of a request with a secret in each of its parts."""
    api = falcon.testing.TestClient(create_app(store, settings))
    headers = {"Authorization": "Bearer SECRET"}
    api.simulate_put("/v1/kv/SECRET", body=b"SECRET", headers=headers)
    api.simulate_get("/v1/kv/SECRET", query_string="rev=1", headers=headers)
    err = capsys.readouterr().err
    assert "SECRET" not in err
    return [json.loads(line) for line in err.splitlines()]


def test_good_and_quick_requests_are_not_logged(capsys):
    assert logged(capsys, ModelStore(), ServerSettings(log_format="json")) == []


def test_slow_requests_are_logged_without_key_value_or_token(capsys):
    lines = logged(capsys, ModelStore(), ServerSettings(log_format="json", slow_s=0.0))

    assert [(line["method"], line["status"]) for line in lines] == [("PUT", 201), ("GET", 200)]
    assert set(lines[0]) == {
        *("time", "level", "event", "request_id", "method", "route", "status", "duration_ms"),
    }
    assert lines[0]["event"] == "slow"
    assert lines[0]["route"] == "/v1/kv/{key:path}"
    assert lines[0]["duration_ms"] > 0


def test_failed_requests_say_which_problem_it_was(capsys):
    store = FailingStore(errors.Unavailable("the disk failed"))

    (line,) = logged(capsys, store, ServerSettings(log_format="json"))

    assert (line["event"], line["level"], line["status"]) == ("failed", "error", 503)
    assert line["problem"] == "unavailable"
    assert "the disk failed" in str(line["detail"])
    assert "traceback" not in line


def test_unexpected_errors_say_where_and_not_what(capsys):
    (line,) = logged(capsys, FailingStore(KeyError("SECRET")), ServerSettings(log_format="json"))

    assert line["problem"] == "internal"
    assert line["detail"] == "KeyError"
    assert "functions/routes/values.py" in str(line["traceback"])


def test_errors_of_the_system_say_what(capsys):
    store = FailingStore(OSError(24, "Too many open files"))

    (line,) = logged(capsys, store, ServerSettings(log_format="json"))

    assert line["detail"] == "OSError: [Errno 24] Too many open files"


def test_request_id_is_that_of_the_answer(capsys):
    store = FailingStore(errors.Unavailable("no"))
    api = falcon.testing.TestClient(create_app(store, ServerSettings(log_format="json")))

    answer = api.simulate_get("/v1/kv/a")

    line = json.loads(capsys.readouterr().err)
    assert line["request_id"] == answer.headers["Request-Id"]


def test_text_is_one_line_for_people(capsys):
    store = FailingStore(errors.Unavailable("the disk failed"))
    api = falcon.testing.TestClient(create_app(store))

    api.simulate_get("/v1/kv/a")

    (line,) = capsys.readouterr().err.splitlines()
    assert " failed 503 GET /v1/kv/{key:path} in " in line
    assert line.endswith("nothing was changed: the disk failed; send the request again later")


def test_line_that_no_file_takes_goes_to_stderr(capsys):
    LineFile(Path("/dev/full"))("a line")

    assert capsys.readouterr().err == (
        "/dev/full cannot be written: No space left on device; its lines follow here\na line\n"
    )


def test_each_line_that_no_file_takes_is_counted(capsys):
    counts: list[int] = []

    LineFile(Path("/dev/full"), counts.append)("a line\nanother line")

    assert capsys.readouterr().err.splitlines()[1:] == ["a line", "another line"]
    assert counts == [2]


def test_lines_of_the_trail_are_written_in_pieces_that_never_mix_in_a_pipe():
    written: list[str] = []
    lines = [f"{number}" * (300 + number) for number in range(10, 60)] + ["x" * 9_000, "y"]

    AuditTrail(RequestIds(), written.append).write(lines)

    assert [line for piece in written for line in piece.split("\n")] == lines
    assert all(len(piece) < select.PIPE_BUF or "\n" not in piece for piece in written)
    assert len(written) < len(lines) // 4


def test_file_is_closed_with_its_writer(tmp_path):
    def is_open() -> bool:
        links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        return (tmp_path / "log") in {Path(os.path.realpath(link)) for link in links}

    write = LineFile(tmp_path / "log")
    write("a line")
    was_open = is_open()
    del write

    assert (was_open, is_open()) == (True, False)


def test_stderr_that_nobody_reads_fails_no_request(monkeypatch):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w", buffering=1) as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        api = falcon.testing.TestClient(create_app(ModelStore(), ServerSettings(slow_s=0.0)))
        statuses = [api.simulate_put("/v1/kv/a", body=b"1").status_code for _ in range(3)]
        with contextlib.suppress(OSError):
            stderr.close()

    assert statuses == [201, 204, 204]


def test_a_failed_request_is_released_once_it_is_logged(capsys):
    class Reading:
        """What a store holds while it reads."""

    seen = []

    class LateStore(ModelStore):
        def get(self, key, *, at=None):
            assert key or at
            reading = Reading()
            seen.append(weakref.ref(reading))
            raise errors.Unavailable("the disk failed")

    api = falcon.testing.TestClient(create_app(LateStore()))
    with without_collector():
        assert api.simulate_get("/v1/kv/a").status_code == 503
        assert [reading() for reading in seen] == [None]
    assert "failed 503" in capsys.readouterr().err


def test_file_that_was_renamed_is_made_anew(tmp_path: Path):
    path = tmp_path / "log"
    write = LineFile(path)
    write("first")
    path.rename(tmp_path / "log.1")

    write("second")
    write("third")

    assert (tmp_path / "log.1").read_text() == "first\n"
    assert path.read_text() == "second\nthird\n"


def test_lines_go_on_in_the_file_that_was_renamed_where_no_other_can_be_made(tmp_path: Path):
    folder = tmp_path / "logs"
    folder.mkdir()
    write = LineFile(folder / "log")
    folder.rename(tmp_path / "moved")

    write("a line")

    assert (tmp_path / "moved" / "log").read_text() == "a line\n"


# --- what is repeated -----------------------------------------------------------------------


def test_failures_of_one_kind_are_counted_after_a_few_lines(capsys):
    store = FailingStore(errors.Unavailable("the disk failed"))
    api = falcon.testing.TestClient(create_app(store))

    statuses = {api.simulate_get(f"/v1/kv/{number}").status_code for number in range(100)}

    assert statuses == {503}
    assert len(capsys.readouterr().err.splitlines()) == AT_ONCE
    metrics = api.simulate_get("/metrics").text
    assert 'rundlet_http_failures_total{problem="unavailable"} 100' in metrics


def test_each_request_has_its_line_if_that_is_asked_for(capsys):
    store = FailingStore(errors.Unavailable("the disk failed"))
    api = falcon.testing.TestClient(create_app(store, ServerSettings(slow_s=0.0)))

    for number in range(100):
        api.simulate_get(f"/v1/kv/{number}")

    assert len(capsys.readouterr().err.splitlines()) == 100


def test_each_unexpected_error_is_a_kind_of_its_own(capsys):
    for error in (KeyError("a"), ZeroDivisionError()):
        api = falcon.testing.TestClient(create_app(FailingStore(error)))
        for number in range(20):
            api.simulate_get(f"/v1/kv/{number}")

    found = [line for line in capsys.readouterr().err.splitlines() if " failed 500 " in line]
    assert len(found) == 2 * AT_ONCE


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_counted_failures_are_one_line_with_the_last_of_them(log_format):
    waiting: list[Callable[[], None]] = []
    lines: list[str] = []
    ids = RequestIds()
    log = RequestLog(
        ids,
        lines.append,
        log_format=log_format,
        later=lambda _delay_s, function: waiting.append(function),
    )
    answers = ErrorAnswers(ids, lambda _request: None, LimitAdvice(ModelStore().info))
    for _ in range(100):
        environ: dict[str, object] = {"REQUEST_METHOD": "PUT"}
        answers.made(environ, errors.DiskFull("no"))
        log.note(environ, "/v1/kv/{key:path}", 507, 1_200_000)
    assert len(lines) == AT_ONCE

    waiting.pop()()
    waiting.pop()()

    repeated, ended = lines[AT_ONCE:]
    if log_format == "json":
        found = json.loads(repeated)
        assert (found["event"], found["count"], found["seconds"]) == ("repeated", 100 - AT_ONCE, 10)
        assert (found["problem"], found["request_id"]) == ("disk-full", ids.of(environ))
        assert json.loads(ended)["event"] == "ended"
    else:
        assert f" {100 - AT_ONCE} more in 10 s, the last one: 507 PUT" in repeated
        assert ids.of(environ) in repeated
        assert " no more in 10 s, the last one was: 507 PUT" in ended
