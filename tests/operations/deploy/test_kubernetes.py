"""Test the chart and the plain manifests of Kubernetes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import yaml

from deploy import manifests
from rundlet_server.functions.settings import SETTINGS
from rundlet_server.server.granian import server as granian_server
from rundlet_server.server.waitress import server as waitress_server
from rundlet_server.storage.tokens.file import TokenFile
from tests.support import PATIENCE_S, ROOT
from tests.support.processes.servers import RundletServer, wait_for
from tests.support.programs import program

FOLDER = ROOT / "deploy/kubernetes"
OPTIONS = {row.option for row in SETTINGS}
VALUES: Mapping[str, Mapping[str, object]] = {
    **manifests.PLAIN,
    "a storage class": {"volume": {"storageClass": "local"}},
    "more options": {"arguments": ["--workers=2", '--cors-origin="*"']},
    "no policy": {"networkPolicy": {"enabled": False}},
    "everything": {
        "engine": {"enabled": True, "port": 5432},
        "serviceMonitor": {"enabled": True},
        "arguments": ["--workers=2"],
    },
}


def objects_of(text: str) -> dict[str, dict]:
    """The objects of a manifest, by kind."""
    return {found["kind"]: found for found in yaml.safe_load_all(text) if found}


def chart(values: Mapping[str, object]) -> str:
    return "\n---\n".join(manifests.Chart(values).rendered().values())


@pytest.fixture(params=["folder.yaml", "engine.yaml"])
def found(request: pytest.FixtureRequest) -> dict[str, dict]:
    return objects_of((FOLDER / request.param).read_text())


def workload_of(found: dict[str, dict]) -> dict:
    return found.get("StatefulSet") or found["Deployment"]


def pod_of(found: dict[str, dict]) -> dict:
    return workload_of(found)["spec"]["template"]["spec"]


def container_of(found: dict[str, dict]) -> dict:
    [container] = pod_of(found)["containers"]
    return container


@pytest.mark.parametrize("name", manifests.PLAIN)
def test_plain_manifest_is_what_the_chart_makes(name):
    assert (FOLDER / name).read_text() == manifests.manifest(name), (
        "run: python deploy/manifests.py"
    )


@pytest.mark.parametrize(
    ("version", "names"), [("1.25", ["folder.yaml", "engine.yaml"]), ("1.35", list(VALUES))]
)
def test_objects_fit_the_schemas_of_kubernetes(tmp_path, version, names):
    objects = [found for name in names for found in yaml.safe_load_all(chart(VALUES[name]))]
    distinct = {yaml.safe_dump(found) for found in objects if found}
    path = tmp_path / "objects.yaml"
    path.write_text("---\n".join(sorted(distinct)))
    command = [program("kubernetes-validate"), "-k", version, "--strict", str(path)]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    passed = [line for line in ended.stdout.splitlines() if line.startswith("INFO")]
    # It has no schema of what the operator of Prometheus defines, and warns of that.
    unknown = sum("kind: ServiceMonitor" in found for found in distinct)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(passed) == len(distinct) - unknown


@pytest.mark.parametrize("name", VALUES)
def test_helm_makes_the_same_of_the_chart(tmp_path, name):
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("helm is not installed")
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(dict(VALUES[name])))
    for command in ("lint", "template"):
        names = [manifests.RELEASE] if command == "template" else []
        ended = subprocess.run(
            [helm, command, *names, str(manifests.CHART), "--values", str(values)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr

    assert objects_of(ended.stdout) == objects_of(chart(VALUES[name]))


@pytest.mark.parametrize(
    "template",
    ["{{ .Values.image.tagg }}", "{{ lookup 1 }}", "{{ .Values.image | upper }}", "{{ if . }}"],
)
def test_renderer_rejects_what_it_does_not_know(tmp_path, monkeypatch, template):
    shutil.copytree(manifests.CHART, tmp_path / "chart")
    (tmp_path / "chart/templates/odd.yaml").write_text(template)
    monkeypatch.setattr(manifests, "CHART", tmp_path / "chart")

    with pytest.raises(manifests.TemplateError):
        manifests.Chart({}).rendered()


def test_pod_is_given_the_time_to_finish(found):
    [_, pause_s] = container_of(found)["lifecycle"]["preStop"]["exec"]["command"]
    drain_s = max(waitress_server._DRAIN_MAX_S, granian_server._DRAIN_MAX_S)

    # It ends its helper processes after that, so there are seconds to spare.
    assert pod_of(found)["terminationGracePeriodSeconds"] >= int(pause_s) + drain_s + 5


def test_liveness_gives_a_replaying_server_ten_minutes(found):
    probe = container_of(found)["startupProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] >= 600


def test_pod_runs_as_the_user_of_the_image(found):
    [user, group] = re.findall(r"^USER (\d+):(\d+)", dockerfile(), re.MULTILINE)[0]
    context = pod_of(found)["securityContext"]

    assert context["runAsNonRoot"]
    assert (str(context["runAsUser"]), str(context["fsGroup"])) == (user, group)
    assert f"--uid {user} " in dockerfile()


def dockerfile() -> str:
    return (ROOT / "deploy/Dockerfile").read_text()


def test_pod_is_not_given_variables_named_like_settings(found):
    # For a Service named rundlet, Kubernetes sets RUNDLET_PORT and others.
    assert pod_of(found)["enableServiceLinks"] is False


def test_objects_find_each_other(found):
    labels = workload_of(found)["spec"]["template"]["metadata"]["labels"]
    policy = found["NetworkPolicy"]["spec"]
    port = container_of(found)["ports"][0]["name"]
    [service] = found["Service"]["spec"]["ports"]

    assert workload_of(found)["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["ingress"][0]["ports"][0]["port"] == service["targetPort"] == port
    if "Deployment" in found:
        target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        assert target["name"] == found["Deployment"]["metadata"]["name"]
        assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    else:
        assert workload_of(found)["spec"]["replicas"] == 1
        assert workload_of(found)["spec"]["serviceName"] == found["Service"]["metadata"]["name"]


def test_monitor_finds_the_service(found):
    monitor = objects_of((FOLDER / "monitoring.yaml").read_text())["ServiceMonitor"]["spec"]
    labels = found["Service"]["metadata"]["labels"]
    [endpoint] = monitor["endpoints"]

    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert endpoint["port"] in {port["name"] for port in found["Service"]["spec"]["ports"]}
    # The alerts ask for this job.
    assert labels[monitor["jobLabel"]] == "rundlet"


def test_options_of_the_container_are_settings(found):
    command, *options = container_of(found)["args"]
    variables = {entry["name"] for entry in container_of(found)["env"]}

    assert command == "serve"
    assert {option.partition("=")[0] for option in options} <= OPTIONS
    assert variables <= {row.variable for row in SETTINGS}


class Mounted:
    """A folder as the kubelet mounts a Secret: links to files that are replaced all at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._version = 0
        folder.mkdir()
        (folder / "TOKENS").symlink_to("..data/TOKENS")

    def fill(self, content: bytes) -> None:
        self._version += 1
        version = self.folder / f"..version{self._version}"
        version.mkdir()
        (version / "TOKENS").write_bytes(content)
        link = self.folder / "..data_new"
        link.symlink_to(version.name)
        link.rename(self.folder / "..data")


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path / "tokens")


@pytest.fixture
def pod(tmp_path: Path, mounted: Mounted) -> Iterator[tuple[RundletServer, str]]:
    """The server of folder.yaml, and a token that its Secret holds."""
    found = objects_of((FOLDER / "folder.yaml").read_text())
    _, secret = TokenFile(tmp_path / "made").add("first", "admin")
    mounted.fill((tmp_path / "made/TOKENS").read_bytes())
    places = {"/data": str(tmp_path / "data"), "/tokens": str(mounted.folder), "0.0.0.0": "0.0.0.0"}
    arguments = []
    for option in container_of(found)["args"][1:]:
        name, _, value = option.partition("=")
        arguments += [name, places[value]]
    with RundletServer(*arguments, stderr_path=tmp_path / "stderr") as server:
        yield server, secret


def test_pod_serves_with_tokens_from_a_secret_and_notices_new_ones(tmp_path, mounted, pod):
    server, secret = pod
    container = container_of(objects_of((FOLDER / "folder.yaml").read_text()))
    url = server.url.replace("0.0.0.0", "127.0.0.1")

    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        # The kubelet asks by the address of the pod, and without a token.
        headers = {"Host": "10.1.2.3:8000"}
        assert httpx.get(f"{url}{path}", headers=headers, timeout=PATIENCE_S).status_code == 200
    assert status(url, secret) == 404
    assert status(url, "") == 401
    _, later = TokenFile(tmp_path / "made").add("later", "read")
    mounted.fill((tmp_path / "made/TOKENS").read_bytes())
    wait_for(lambda: status(url, later) == 404)


def status(url: str, secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return httpx.get(f"{url}/v1/kv/nothing", headers=headers, timeout=PATIENCE_S).status_code


def test_chart_has_the_version_of_the_server():
    described = yaml.safe_load((manifests.CHART / "Chart.yaml").read_text())
    values = yaml.safe_load((manifests.CHART / "values.yaml").read_text())
    [(version,)] = [re.findall(r'__version__.*"(.*)"', (ROOT / "rundlet/version.py").read_text())]

    assert described["appVersion"] == values["image"]["tag"] == version
