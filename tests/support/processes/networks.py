"""Machines that can be cut off from each other: network namespaces, where these can be made."""

from __future__ import annotations

import os
import subprocess
from typing import Final

from tests.support.programs import missing, program

_NUMBER: Final = os.getpid() % 250


class CutNetwork:
    """Some machines, each with a link to this one and a link to all the others.

    A machine whose link to the others is cut is still reached from here.

    Attributes:
        names: of the namespaces.
    """

    def __init__(self, count: int) -> None:
        self.names = [f"rundlet{os.getpid()}n{number}" for number in range(count)]
        self._switch = f"rundlet{os.getpid()}s"
        if os.geteuid() != 0 or not _can(f"netns add {self._switch}"):
            missing("network namespaces cannot be made here; root can")
        _ip(f"-n {self._switch} link add switch type bridge")
        _ip(f"-n {self._switch} link set switch up")
        for number, name in enumerate(self.names):
            _ip(f"netns add {name}")
            _ip(f"-n {name} link set lo up")
            _ip(f"link add rdt{_NUMBER}c{number} type veth peer name here netns {name}")
            _ip(f"addr add 10.213.{_NUMBER}.{4 * number + 1}/30 dev rdt{_NUMBER}c{number}")
            _ip(f"link set rdt{_NUMBER}c{number} up")
            _ip(f"-n {name} addr add {self.address(number)}/30 dev here")
            _ip(f"-n {name} link set here up")
            _ip(f"-n {self._switch} link add port{number} type veth peer name others netns {name}")
            _ip(f"-n {self._switch} link set port{number} master switch up")
            _ip(f"-n {name} addr add {self.inner_address(number)}/24 dev others")
            _ip(f"-n {name} link set others up")

    def address(self, number: int) -> str:
        """Return the address by which a machine is reached from here."""
        return f"10.213.{_NUMBER}.{4 * number + 2}"

    def inner_address(self, number: int) -> str:
        """Return the address by which the others reach a machine."""
        return f"10.214.{_NUMBER}.{number + 1}"

    def cut(self, number: int, *, is_cut: bool = True) -> None:
        """Cut a machine off from the others, or join it to them again."""
        _ip(f"-n {self._switch} link set port{number} {'down' if is_cut else 'up'}")

    def close(self) -> None:
        """Remove all; processes in it must have ended."""
        for name in (*self.names, self._switch):
            _can(f"netns del {name}")


def _ip(arguments: str) -> None:
    subprocess.run([program("ip"), *arguments.split()], check=True)


def _can(arguments: str) -> bool:
    done = subprocess.run([program("ip"), *arguments.split()], capture_output=True, check=False)
    return done.returncode == 0
