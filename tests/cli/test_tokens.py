"""Test ``rundlet token``, and its tokens on real servers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rundlet_server.cli.main import app
from tests.support.processes.servers import RundletServer, ask_once

RUNNER = CliRunner()


def run(*arguments: str, code: int = 0) -> str:
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_token_is_made_listed_and_taken_back(tmp_path: Path):
    data = str(tmp_path / "data")
    secret = run(
        "token", "add", "app", "--scope", "write", "--prefix", "app/", "--create", "--data", data
    )

    listed = run("token", "ls", "--data", data)
    run("token", "rm", "app", "--data", data)

    assert secret.startswith("rundlet_")
    assert "app" in listed
    assert "write" in listed
    assert secret.strip() not in listed
    assert run("token", "ls", "--data", data) == ""


def test_list_has_a_form_for_machines_without_secrets(tmp_path: Path):
    data = str(tmp_path / "data")
    secret = run("token", "add", "app", "--prefix", "a,b/", "--create", "--data", data).strip()

    comma = run("token", "ls", "--format", "csv", "--data", data)
    table = run("token", "ls", "--format", "table", "--data", data)

    (row,) = csv.DictReader(comma.splitlines())
    assert (row["name"], row["scope"], row["prefix"], row["expires"]) == ("app", "read", "a,b/", "")
    assert table.splitlines()[0].split() == ["id", "name", "scope", "prefix", "created"]
    assert secret not in comma + table


def test_place_may_stand_before_the_command(tmp_path: Path):
    run("--data", str(tmp_path), "token", "add", "app")

    assert "app" in run("token", "ls", "--data", str(tmp_path))


def test_machines_get_json(tmp_path: Path):
    data = str(tmp_path)
    made = json.loads(run("token", "add", "app", "--expires", "30d", "--data", data, "--json"))

    listed = json.loads(run("token", "ls", "--data", data, "--json"))

    assert made.pop("token").startswith("rundlet_")
    assert made == listed
    assert listed["scope"] == "read"
    assert listed["expires"] > listed["created"]


def test_damaged_tokens_are_found_and_what_to_do_is_said_and_works(tmp_path: Path):
    run("--data", str(tmp_path), "set", "a", "1")
    run("token", "add", "app", "--data", str(tmp_path))
    path = tmp_path / "TOKENS"
    path.write_bytes(path.read_bytes()[:-1])

    listed = run("token", "ls", "--data", str(tmp_path), code=5)
    verified = RUNNER.invoke(app, ["verify", "--data", str(tmp_path)])
    path.unlink()
    run("token", "add", "app", "--data", str(tmp_path))

    assert "remove it and create new tokens" in listed
    assert "repair" not in listed + verified.output
    assert verified.exit_code == 5
    assert verified.stdout.startswith(f"{path}:0: the checksum does not match")
    assert "all is well" in run("verify", "--data", str(tmp_path))


def test_folder_in_the_place_of_the_tokens_is_an_error_of_one_line(tmp_path: Path):
    (tmp_path / "TOKENS").mkdir()

    assert "Is a directory" in run("token", "ls", "--data", str(tmp_path), code=4)


def test_unknown_token_to_take_back_is_not_found(tmp_path: Path):
    folder = tmp_path / "none"

    assert "no token" in run("token", "rm", "none", "--data", str(folder), code=1)
    assert not folder.exists()


@pytest.mark.parametrize("expires", ["yesterday", "2001-01-01T00:00:00Z", "0s"])
def test_impossible_expiry_is_a_usage_error(tmp_path: Path, expires: str):
    run("token", "add", "app", "--expires", expires, "--data", str(tmp_path), code=2)


def test_name_that_is_taken_is_a_usage_error(tmp_path: Path):
    run("token", "add", "app", "--data", str(tmp_path))

    assert "already" in run("token", "add", "app", "--data", str(tmp_path), code=2)


def statuses(url: str, headers: dict[str, str] | None = None) -> set[int]:
    """Ask on many connections, so that every worker is asked."""
    asked = f"{url}/v1/stats"
    return {ask_once("GET", asked, headers=headers).status_code for _ in range(20)}


@pytest.mark.parametrize("layout", [("waitress", 1), ("granian", 2)])
def test_change_is_in_force_on_every_worker_at_once(tmp_path: Path, layout: tuple[str, int]):
    server, workers = layout
    data = tmp_path / "data"
    options = ["--data", data, "--server", server, "--workers", str(workers)]
    with RundletServer(*options, stderr_path=tmp_path / "log") as running:
        url = running.url
        before = statuses(url)
        secret = run("token", "add", "app", "--data", str(data)).strip()
        headers = {"Authorization": f"Bearer {secret}"}
        closed = statuses(url)
        let_in = statuses(url, headers)
        run("token", "add", "other", "--data", str(data))
        run("token", "rm", "app", "--data", str(data))
        after = statuses(url, headers)

        assert (before, closed, let_in, after) == ({200}, {401}, {200}, {401})
        assert "--token" in run("--url", url, "stats", code=6)


def test_store_in_memory_has_the_tokens_of_a_folder_that_is_named(tmp_path: Path):
    """``--data`` would name none: there is no such folder."""
    said = run("serve", "--in-memory", "--host", "0.0.0.0", "--port", "0", code=2)

    assert "token add NAME --create --data DIR, and serve with --tokens DIR" in said


@pytest.mark.parametrize("server", ["waitress", "granian"])
def test_audit_trail_that_cannot_be_kept_ends_the_start_in_one_line(tmp_path: Path, server: str):
    path = tmp_path / "none" / "audit"
    arguments = ["--data", str(tmp_path), "--server", server, "--audit", str(path)]

    said = run("serve", "--port", "0", *arguments, code=4)

    assert said == (
        f"rundlet: --audit is '{path}', which cannot be written (No such file or directory);"
        " name a file in a folder that exists, where this user may write\n"
    )


def test_other_machines_are_let_in_only_with_tokens(tmp_path: Path):
    data = tmp_path / "data"
    refused = run("serve", "--host", "0.0.0.0", "--port", "0", "--data", str(data), code=2)
    secret = run("token", "add", "app", "--create", "--data", str(data)).strip()
    options = ["--data", data, "--host", "0.0.0.0"]
    with RundletServer(*options, stderr_path=tmp_path / "log") as running:
        url = running.url.replace("0.0.0.0", "127.0.0.1")
        headers = {"Authorization": f"Bearer {secret}"}
        let_in = statuses(url, headers)
        run("token", "rm", "app", "--data", str(data))

        assert statuses(url) == {401}
    assert "token add" in refused
    assert let_in == {200}


def test_first_token_says_that_it_turns_authentication_on(tmp_path: Path):
    run("--data", str(tmp_path), "set", "a", "1")
    first = RUNNER.invoke(app, ["token", "add", "one", "--data", str(tmp_path)])
    second = RUNNER.invoke(app, ["token", "add", "two", "--data", str(tmp_path)])

    assert first.stderr.startswith("Authentication is on: ")
    assert first.stdout.count("\n") == 1
    assert second.stderr == ""


def test_token_of_a_mistyped_folder_is_refused(tmp_path: Path):
    typo = tmp_path / "typo"
    refused = run("token", "add", "app", "--data", str(typo), code=4)

    assert "check --data, or add --create" in refused
    assert not typo.exists()

    made = RUNNER.invoke(app, ["token", "add", "app", "--create", "--data", str(typo)])
    assert f"Created the folder {typo}." in made.stderr
    assert "app" in run("token", "ls", "--data", str(typo))


def test_token_of_a_folder_without_a_store_says_so(tmp_path: Path):
    made = RUNNER.invoke(app, ["token", "add", "app", "--data", str(tmp_path)])

    assert made.exit_code == 0
    assert f"There is no store in {tmp_path} yet" in made.stderr


@pytest.mark.parametrize("expires", ["5", "90", "1.5"])
def test_expiry_without_a_unit_is_refused(tmp_path: Path, expires: str):
    refused = run("token", "add", "app", "--expires", expires, "--data", str(tmp_path), code=2)

    assert f"has no unit; write {expires}s, {expires}m, {expires}h or {expires}d" in refused
    assert list(tmp_path.iterdir()) == []
