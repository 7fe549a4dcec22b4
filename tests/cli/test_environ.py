"""Test that variables which look like settings and are none are named, and refuse nothing."""

from __future__ import annotations

import pytest

from rundlet_server.cli.serve.environ import warn_of_unknown
from tests.support.models.model import ModelStore
from tests.support.processes.command_line import run_process
from tests.support.processes.servers import RundletServer
from tests.support.wire.served_model import served


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"RUNDLET_SYNK": "never"}, "RUNDLET_SYNK (did you mean RUNDLET_SYNC?)"),
        ({"RUNDLET_PORT": "9000"}, "RUNDLET_PORT (did you mean PORT?)"),
        ({"RUNDLET_WWW": "1"}, "ignored an unknown environment variable: RUNDLET_WWW\n"),
        (
            {"RUNDLET_TOKE": "x", "RUNDLET_HOSTS": "y"},
            "ignored unknown environment variables: RUNDLET_HOSTS (did you mean RUNDLET_HOST?),"
            " RUNDLET_TOKE (did you mean RUNDLET_TOKEN?)",
        ),
        ({"RUNDLET_\n": ""}, "RUNDLET_\\n"),
    ],
)
def test_unknown_variable_is_named_with_the_closest_known_one(capsys, environ, named):
    warn_of_unknown({"HOME": "/", **environ})

    shown = capsys.readouterr().err
    assert shown.startswith("rundlet: warning: ")
    assert named in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PORT": "9000", "RUNDLET_SYNC": "never", "RUNDLET_URL": "", "RUNDLET_CA_FILE": ""},
        {"RUNDLET_COUNTERS": "x", "RUNDLET_TRACEBACK": "1"},
        {
            "RUNDLET_PORT": "tcp://10.0.0.1:8000",
            "RUNDLET_SERVICE_HOST": "10.0.0.1",
            "RUNDLET_SERVICE_PORT_HTTP": "8000",
            "RUNDLET_PORT_8000_TCP_ADDR": "10.0.0.1",
        },
    ],
)
def test_variables_that_are_known_or_of_kubernetes_are_no_reason_for_a_warning(capsys, environ):
    warn_of_unknown(environ)

    assert capsys.readouterr().err == ""


def test_commands_about_settings_warn_and_go_on(tmp_path, monkeypatch):
    warning = "rundlet: warning: ignored an unknown environment variable: RUNDLET_SYNK"
    monkeypatch.setenv("RUNDLET_SYNK", "never")
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "stderr"):
        assert (tmp_path / "stderr").read_text().count(warning) == 1

    with served(ModelStore()) as url:
        for command in (["config"], ["config", "--url", url], ["doctor", "--url", url]):
            ended = run_process(*command, RUNDLET_SYNK="never")

            assert ended.code == 0
            assert ended.err.count(warning) == 1
        assert run_process("ls", "--url", url, RUNDLET_SYNK="never").err == ""
