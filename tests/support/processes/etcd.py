"""Start nodes of etcd: one for all tests of a session, or a cluster for one test."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from tests.support import PATIENCE_S
from tests.support.processes.networks import CutNetwork
from tests.support.processes.servers import free_port
from tests.support.programs import program


class EtcdNode:
    """One node, alone or of a cluster.

    Attributes:
        endpoint: ``HOST:PORT`` for clients.
        peer_url: for the other nodes.
        prefix: of the command that starts it.
    """

    def __init__(self, folder: Path, name: str = "node", *, scheme: str = "http") -> None:
        self.name = name
        self._scheme = scheme
        self.endpoint = f"127.0.0.1:{free_port()}"
        self.peer_url = f"http://127.0.0.1:{free_port()}"
        self.prefix: tuple[str, ...] = ()
        self._folder = folder / name
        self._options: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, cluster: str | None = None) -> None:
        """Start the process; ``cluster`` names all nodes as ``--initial-cluster`` has it."""
        self._options = [*options, "--initial-cluster", cluster or f"{self.name}={self.peer_url}"]
        self.start_again()

    def start_again(self, *options: str) -> None:
        """Start the process with the options of the first time, and others."""
        client_url = f"{self._scheme}://{self.endpoint}"
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(*self.prefix, program("etcd"), "--name", self.name),
                    *("--data-dir", str(self._folder / "data")),
                    *("--listen-client-urls", client_url, "--advertise-client-urls", client_url),
                    *("--listen-peer-urls", self.peer_url),
                    *("--initial-advertise-peer-urls", self.peer_url),
                    *self._options,
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_healthy(self) -> None:
        """Wait until the node answers and has a leader."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.is_healthy():
            assert self.process is not None
            assert self.process.poll() is None, (self._folder / "log").read_text()[-2_000:]
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for etcd"
            time.sleep(0.05)

    def is_healthy(self) -> bool:
        try:
            with urlopen(f"http://{self.endpoint}/health", timeout=1) as response:
                return b'"true"' in response.read()
        except OSError:
            return False

    def is_leader(self) -> bool:
        """Return whether the node leads its cluster, by its own metrics."""
        return self._tells(b"\netcd_server_is_leader 1")

    def has_leader(self) -> bool:
        """Return whether the node knows the leader, also while an alarm makes it unhealthy."""
        return self._tells(b"\netcd_server_has_leader 1")

    def _tells(self, line: bytes) -> bool:
        try:
            with urlopen(f"http://{self.endpoint}/metrics", timeout=1) as response:
                return line in response.read()
        except OSError:
            return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal: ``SIGSTOP`` freezes the node, ``SIGCONT`` lets it go on."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the process at once, frozen or not."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@functools.cache
def shared_etcd() -> str:
    """Return the endpoint of the one node that all tests of this session share.

    What it writes is not to be durable: it is in memory, where that can be, and synced by nothing,
    where its version of etcd can do that.
    """
    memory = Path("/dev/shm")
    folder = tempfile.TemporaryDirectory(
        prefix="rundlet-etcd-", dir=memory if os.access(memory, os.W_OK) else None
    )
    node = EtcdNode(Path(folder.name))
    node.start(*quick_options())

    def end() -> None:
        node.kill()
        folder.cleanup()

    atexit.register(end)
    node.wait_until_healthy()
    return node.endpoint


def quick_options() -> list[str]:
    """Return the options with which this version of etcd syncs nothing, if it has any."""
    told = subprocess.run([program("etcd"), "--help"], capture_output=True, text=True, check=False)
    return ["--unsafe-no-fsync"] if "unsafe-no-fsync" in told.stdout + told.stderr else []


def store_name(place: Path) -> str:
    """Return the name of the store of a test, which has the folder ``place`` to itself."""
    return f"test-{hashlib.sha256(str(place).encode()).hexdigest()[:20]}"


class EtcdCluster:
    """Three nodes.

    Attributes:
        nodes: all of them.
    """

    def __init__(self, folder: Path) -> None:
        self.nodes = [EtcdNode(folder, f"n{number}") for number in range(3)]

    @classmethod
    def in_network(cls, folder: Path, network: CutNetwork) -> EtcdCluster:
        """Return nodes that each have a machine of a network."""
        cluster = cls(folder)
        for number, node in enumerate(cluster.nodes):
            node.endpoint = f"{network.address(number)}:2379"
            node.peer_url = f"http://{network.inner_address(number)}:2380"
            node.prefix = (program("ip"), "netns", "exec", network.names[number])
        return cluster

    def start(self) -> None:
        """Start all nodes, and wait until they have a leader."""
        names = ",".join(f"{node.name}={node.peer_url}" for node in self.nodes)
        for node in self.nodes:
            node.start(cluster=names)
        for node in self.nodes:
            node.wait_until_healthy()

    def address(self, name: str) -> str:
        """Return the address of a store in it."""
        return f"etcd://{','.join(node.endpoint for node in self.nodes)}/{name}"

    def leader(self) -> EtcdNode:
        """Return the leader; there must be one."""
        for node in self.nodes:
            if node.is_leader():
                return node
        raise AssertionError("there is no leader")

    def followers(self) -> list[EtcdNode]:
        """Return the nodes that are not the leader."""
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    def kill(self) -> None:
        """End all nodes at once, frozen or not."""
        for node in self.nodes:
            node.kill()
