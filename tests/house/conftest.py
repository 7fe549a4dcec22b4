"""Both distributions, built once, and a clean environment that they are installed into."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes.distributions import CLIENT, SERVER, Built, build, copy_sources
from tests.support.processes.environments import HOSTILE, SHADOWS, TRAP, Environment


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Built]:
    """The server and the client, each as wheel and as source archive; from what Docker copies."""
    source = tmp_path_factory.mktemp("source")
    copy_sources(source)
    folder = tmp_path_factory.mktemp("built")
    for project in (source, source / "client"):
        build(project, folder, "sdist", "wheel")
    return Built(folder, SERVER), Built(folder, CLIENT)


@pytest.fixture(scope="session")
def server_environment(
    built: tuple[Built, Built], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """Both wheels, beside packages that have the names of our folders."""
    server, client = built
    own = [line for line in server.requirements() if not line.startswith("rundlet-client")]
    environment = Environment(
        tmp_path_factory.mktemp("server-environment"),
        [server.wheel, client.wheel],
        [*own, *client.requirements(), *server.requirements("fast")],
    )
    for name in HOSTILE:
        (environment.site_packages / name).mkdir()
        (environment.site_packages / name / "__init__.py").write_text(TRAP)
    return environment


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, and a folder on PYTHONPATH, with an app's own modules."""
    app, working = tmp_path / "app", tmp_path / "working"
    for folder, names in ((app, HOSTILE), (working, [*HOSTILE, *SHADOWS])):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.py").write_text(TRAP)
    monkeypatch.setenv("PYTHONPATH", str(app))
    monkeypatch.chdir(working)
    return working
