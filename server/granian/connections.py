"""Close TCP connections of a Granian worker, to which Granian gives no access.

Granian 2.8 does not let an application close a connection. It ends every answer as if it were
complete, and keeps an answer in memory as long as its connection is open, even if the client does
not read it. But its sockets are descriptors of this process, so this module shuts the connection
down, which solves both. Only Linux lists the descriptors and reports when data last moved, so on
other systems this module closes no connection.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

_CHECK_EVERY_S: Final = 1.0
_PAUSE_S: Final = 0.1
_ENDING_S: Final = 5.0
_DESCRIPTORS: Final = Path("/proc/self/fd")
_IS_LISTED: Final = sys.platform == "linux"

# From struct tcp_info of linux/tcp.h, in milliseconds since: data was sent (offset 44), an
# acknowledgement was sent (always 0), data was received.
_TIMES: Final = struct.Struct("=44xIII")
_INT: Final = struct.Struct("=i")

_ATTACH_FILTER: Final = 26  # SO_ATTACH_FILTER of asm-generic/socket.h; Python has no name for it
_FILTER: Final = b"".join(
    struct.pack("=HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),  # load the byte of the flags
        (0x54, 0, 0, 0x12),  # SYN and ACK of them
        (0x15, 0, 1, 0x02),  # only SYN: go on, else skip the next step
        (0x06, 0, 0, 0),  # drop the segment
        (0x06, 0, 0, 0xFFFF_FFFF),  # keep it
    )
)
"""A program of the Berkeley Packet Filter; it drops segments of TCP that ask for a connection."""

Peer = tuple[str, str]
"""The address and port of a client."""


class Traffic(NamedTuple):
    """The state of one connection in the kernel.

    Attributes:
        idle_s: seconds since a byte last moved, in either direction.
        unsent_bytes: bytes that the client has not acknowledged.
    """

    idle_s: float
    unsent_bytes: int


class ConnectionCloser:
    """Closes connections in a thread of its own.

    It finds the connection of a client by a scan of all connections, which takes some microseconds
    each. So it pauses before a scan, and one scan closes all connections that were requested until
    then: if thousands of clients break off their bodies at once, that takes a few scans, and the
    loop does none.
    """

    def __init__(self) -> None:
        self._asked: deque[tuple[Peer, Future[None]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rundlet-close")

    def close(self, peer: Peer) -> Future[None]:
        """Close the connection of a client soon; any thread may call it.

        Returns:
            A future that is done when the connection is closed or was not found.
        """
        closed: Future[None] = Future()
        self._asked.append((peer, closed))
        self._thread.submit(self._close_asked)
        return closed

    def _close_asked(self) -> None:
        if not self._asked:
            return  # an earlier scan closed it
        time.sleep(_PAUSE_S)
        asked = [self._asked.popleft() for _ in range(len(self._asked))]
        _close_all({peer for peer, _ in asked})
        for _, closed in asked:
            closed.set_result(None)


def _close_all(peers: Container[Peer]) -> None:
    with contextlib.suppress(OSError):  # no free descriptor to look for them
        for connection in _connections():
            with contextlib.suppress(OSError):  # it has ended by itself
                address, port = connection.getpeername()[:2]
                if (address, str(port)) in peers:
                    connection.shutdown(socket.SHUT_RDWR)


def close_unread(timeout_s: float, is_ending: Callable[[], bool]) -> None:
    """Close connections whose clients do not read, from now on.

    Args:
        timeout_s: close a connection if it has unsent data and none has moved for so long.
        is_ending: while it is true, the timeout is at most a few seconds.
    """

    def check_often() -> None:
        while True:
            time.sleep(_CHECK_EVERY_S)
            limit_s = min(timeout_s, _ENDING_S) if is_ending() else timeout_s
            with contextlib.suppress(OSError):  # no free descriptor for the check: later again
                _close_idle(limit_s)

    if _IS_LISTED:
        threading.Thread(target=check_often, name="rundlet-unread", daemon=True).start()


def _close_idle(limit_s: float) -> None:
    for connection in _connections():
        traffic = _traffic(connection)
        if traffic.unsent_bytes and traffic.idle_s > limit_s:
            with contextlib.suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)


def admit_no_more() -> None:
    """Let no new connection come to the listening sockets of this process.

    When Granian stops, it closes connections that it has accepted but not read from, and
    connections that wait to be accepted. If a proxy has sent a write over such a connection, it
    cannot know that the write was not applied. From now on the system ignores clients that connect.
    A client tries again after a second, and is refused if the socket is closed by then.
    """
    program = ctypes.create_string_buffer(_FILTER, len(_FILTER))
    option = struct.pack("@HP", len(_FILTER) // 8, ctypes.addressof(program))
    with contextlib.suppress(OSError):  # no free descriptor, or the system has no such filters
        for listener in _connections():
            if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, option)


def _connections() -> Iterator[socket.socket]:
    """Yield the TCP connections of this process, each on a descriptor of its own.

    The process may reuse the number of a descriptor for another connection at any moment. A
    duplicate refers to the same connection until it is closed.
    """
    for name in os.listdir(_DESCRIPTORS) if _IS_LISTED else ():
        try:
            descriptor = os.dup(int(name))
        except OSError:  # closed in the meantime
            continue
        try:
            connection = socket.socket(fileno=descriptor)
        except OSError:  # not a socket
            os.close(descriptor)
            continue
        with connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                yield connection


def _traffic(connection: socket.socket) -> Traffic:
    """Return the traffic; a socket that listens, or is being closed, counts as not idle."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TIMES.size)
        unsent = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(_INT.size))
        connection.getpeername()
    except OSError:
        return Traffic(0, 0)
    sent_ms, _, received_ms = _TIMES.unpack(info)
    (unsent_bytes,) = _INT.unpack(unsent)
    return Traffic(min(sent_ms, received_ms) / 1_000, unsent_bytes)
