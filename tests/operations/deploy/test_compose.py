"""Test the compose files, and run what they describe without Docker."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from rundlet_server.functions.settings import SETTINGS
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import MissingBackend
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.opening import open_tokens
from tests.support import PATIENCE_S, ROOT
from tests.support.configurations import adapted
from tests.support.processes.fronts import NGINX, Front, haproxy, nginx
from tests.support.processes.servers import RundletServer, ServerProcess, free_port, wait_for
from tests.support.programs import program

FOLDER = ROOT / "deploy/compose"
FILES = ["single.yaml", "cluster.yaml"]
ETCD = ["etcd1", "etcd2", "etcd3"]
SERVERS = ["rundlet1", "rundlet2"]


def services_of(name: str) -> dict[str, dict]:
    return yaml.safe_load((FOLDER / name).read_text())["services"]


@pytest.mark.parametrize("name", FILES)
def test_file_fits_the_specification_of_compose(name):
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]

    ended = subprocess.run(
        [*command, str(FOLDER / name)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", FILES)
def test_files_that_it_builds_and_mounts_are_there(name):
    for service in services_of(name).values():
        if "build" in service:
            context = FOLDER / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            # The certificate is the user's own.
            assert not source.startswith("..") or (FOLDER / source).is_file(), volume


@pytest.mark.parametrize("name", FILES)
def test_servers_that_admit_everyone_are_published_on_this_machine_only(name):
    services = services_of(name)
    insecure = [
        service for service in services.values() if "--insecure" in service.get("command", [])
    ]

    assert insecure
    for service in services.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", FILES)
def test_options_of_the_servers_are_settings(name):
    known = {row.option for row in SETTINGS}

    for service in services_of(name).values():
        if service.get("image") == "rundlet":
            options = {word for word in service["command"] if word.startswith("--")}
            assert options <= known


def test_try_writes_reads_and_deletes(tmp_path):
    command = [str(FOLDER / "try")]
    with RundletServer("--data", tmp_path / "data", stderr_path=tmp_path / "stderr") as server:
        ended = subprocess.run(
            [*command, server.url], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        left = server.client.get("/v1/keys").json()["keys"]
        stopped = subprocess.run(
            [*command, f"{server.url}/nowhere"], capture_output=True, check=False
        )

    assert (ended.returncode, ended.stdout, left) == (0, "it works\n", [])
    assert stopped.returncode != 0


# --- the cluster, by its own variables and commands ----------------------------------------


class Cluster:
    """The etcd of cluster.yaml on ports of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.services = services_of("cluster.yaml")
        self._places = {
            f"{name}:{port}": f"127.0.0.1:{free_port()}" for name in ETCD for port in (2379, 2380)
        }
        self.processes: dict[str, ServerProcess] = {}

    def moved(self, text: str) -> str:
        """Text with the addresses of containers replaced by those on this machine."""
        for name, place in self._places.items():
            text = text.replace(name, place)
        return text

    def endpoint(self, name: str) -> str:
        return f"http://{self._places[f'{name}:2379']}"

    def start(self, name: str) -> ServerProcess:
        environ = {
            variable: self.moved(
                text.replace("0.0.0.0", name).replace("/var/lib/etcd", f"{self.folder}/{name}")
            )
            for variable, text in self.services[name]["environment"].items()
        }
        names = " ".join(f"{variable}={text}" for variable, text in environ.items())
        command = ["env", *names.split(" "), program("etcd")]
        self.processes[name] = ServerProcess(command, stderr_path=self.folder / f"{name}.stderr")
        return self.processes[name]

    def is_healthy(self, name: str) -> bool:
        test = self.services[name]["healthcheck"]["test"]
        assert test[:2] == ["CMD", "etcdctl"]
        words = [word.replace("http://127.0.0.1:2379", self.endpoint(name)) for word in test[2:]]
        ended = subprocess.run(
            [program("etcdctl"), *words],
            env=os.environ | {"ETCDCTL_API": "3"},
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return ended.returncode == 0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("etcd"))
    with contextlib.ExitStack() as stack:
        for name in ETCD:
            stack.enter_context(cluster.start(name))
        wait_for(lambda: all(cluster.is_healthy(name) for name in ETCD))
        yield cluster


def test_three_etcd_find_each_other(cluster):
    ended = subprocess.run(
        [program("etcdctl"), "--endpoints", cluster.endpoint("etcd2"), "member", "list"],
        env=os.environ | {"ETCDCTL_API": "3"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )

    assert len(ended.stdout.splitlines()) == 3
    assert all(", started," in line for line in ended.stdout.splitlines())


def test_health_check_fails_for_an_etcd_that_is_not_there(cluster):
    cluster._places["nowhere:2379"] = f"127.0.0.1:{free_port()}"
    cluster.services["nowhere"] = cluster.services["etcd1"]

    assert not cluster.is_healthy("nowhere")


def test_nginx_of_the_cluster_sends_requests_to_both_servers(tmp_path):
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                RundletServer("--data", tmp_path / name, stderr_path=tmp_path / f"{name}.stderr")
            )
            for name in SERVERS
        ]
        for name, server in zip(SERVERS, servers, strict=True):
            server.client.put("/v1/kv/who", content=name.encode())
        with fronted(tmp_path, servers) as front:
            found = {front.ask("GET", "/v1/kv/who").body for _ in range(8)}

    assert found == {name.encode() for name in SERVERS}


@contextlib.contextmanager
def fronted(folder: Path, servers: list[RundletServer]) -> Iterator:
    """Run nginx with the configuration that its container makes of the sample."""
    [shell, option, script] = services_of("cluster.yaml")["nginx"]["command"]
    assert (shell, option) == ("sh", "-c")
    made = folder / "made.conf"
    here = adapted(
        script,
        {
            "/sample.conf": str(NGINX),
            "/etc/nginx/conf.d/default.conf": str(made),
            "exec nginx -g 'daemon off;'": "true",
        },
    )
    subprocess.run(["sh", "-c", here], check=True, timeout=PATIENCE_S)
    assert "/tls/fullchain.pem;" in made.read_text()
    assert "/tls/privkey.pem;" in made.read_text()
    upstream = " ".join(re.findall(r"server rundlet\d:.*?;", made.read_text()))
    for name, server in zip(SERVERS, servers, strict=True):
        upstream = upstream.replace(f"{name}:8000", server.url.removeprefix("http://"))
    parts = upstream.removeprefix("server ").removesuffix(";").split("; server ")
    with nginx(parts, folder) as front:
        yield front


@pytest.fixture
def options(cluster: Cluster) -> list[str]:
    """The options of a server of the cluster."""
    found = [cluster.moved(word) for word in cluster.services["rundlet1"]["command"][1:]]
    try:
        open_tokens(StoreAddress.parse(found[found.index("--store") + 1]))
    except MissingBackend:
        pytest.skip("this release has no backend for etcd")
    return found


def test_cluster_serves_on_both_servers_what_was_written_on_one(options, tmp_path):
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(RundletServer(*options, stderr_path=tmp_path / f"{name}.stderr"))
            for name in SERVERS
        ]
        front = stack.enter_context(fronted(tmp_path, servers))
        for number in range(10):
            assert front.ask("PUT", f"/v1/kv/both/{number}", b"1").status in {201, 204}

        for server in servers:
            assert len(server.client.get("/v1/keys?prefix=both/").json()["keys"]) == 10


@pytest.mark.slow
def test_no_write_fails_while_servers_are_restarted_one_after_the_other(options, tmp_path):
    statuses: list[int] = []
    is_over = threading.Event()

    def write(front: Front) -> None:
        while not is_over.is_set():
            number = len(statuses)
            statuses.append(front.ask("PUT", f"/v1/kv/restarts/{number}", b"1").status)

    def start(name: str, port: int) -> RundletServer:
        path = tmp_path / f"{name}.stderr"
        return RundletServer(*options, "--port", str(port), stderr_path=path)

    ports = {name: free_port() for name in SERVERS}
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(start(name, ports[name])) for name in SERVERS}
        urls = [server.url for server in running.values()]
        front = stack.enter_context(haproxy(urls, tmp_path))
        writer = threading.Thread(target=write, args=[front])
        writer.start()
        try:
            for name in SERVERS:
                count = len(statuses)
                wait_for(lambda count=count: len(statuses) > count + 10)
                assert running[name].stop() == 0
                stack.enter_context(start(name, ports[name]))
        finally:
            is_over.set()
            writer.join()
        left = front.ask("GET", "/v1/keys?prefix=restarts/&limit=10000").body

    assert set(statuses) == {201}
    assert left.count(b'"key"') == len(statuses)


def test_pods_of_kubernetes_serve_an_engine_with_tokens_from_a_secret(
    options, tmp_path, monkeypatch
):
    [workload] = [
        found
        for found in yaml.safe_load_all((ROOT / "deploy/kubernetes/engine.yaml").read_text())
        if found["kind"] == "Deployment"
    ]
    [container] = workload["spec"]["template"]["spec"]["containers"]
    _, secret = TokenFile(tmp_path / "tokens").add("app", "write")
    arguments = [word.replace("/tokens", f"{tmp_path}/tokens") for word in container["args"][1:]]
    assert [entry["name"] for entry in container["env"]] == ["PORT", "RUNDLET_STORE"]
    monkeypatch.setenv("RUNDLET_STORE", options[options.index("--store") + 1])

    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        headers = {"Authorization": f"Bearer {secret}"}
        written = httpx.put(f"{url}/v1/kv/pod", content=b"1", headers=headers, timeout=PATIENCE_S)
        refused = httpx.put(f"{url}/v1/kv/pod", content=b"2", timeout=PATIENCE_S)

    assert (written.status_code, refused.status_code) == (201, 401)
