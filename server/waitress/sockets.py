"""Wait for events on many sockets, and ask only those about which something has changed.

waitress's own loop asks each socket in each turn what it waits for, and tells the system all of it
again. A turn with a thousand connections took 3 ms then, whatever happened in it. ``Sockets`` keeps
what each socket waits for in an epoll instance, and asks a socket again after an event on it, or
after a thread that answers a request of it woke the loop. So a turn costs as much as there are
events.
"""

from __future__ import annotations

import contextlib
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from waitress import wasyncore

_ONE_EVENT: Final = select.EPOLLONESHOT


class Sockets(dict[int, wasyncore.dispatcher]):
    """The sockets of one server by descriptor, which waitress adds and removes.

    A socket is armed for one event. After the event it is asked again, and until then it has no
    other one, not even that its client is gone: so a connection whose request is in flight needs no
    call to the system.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoll = select.epoll()
        self._armed: dict[int, int] = {}  # what the system was told; 0 after the event
        self._changed: deque[wasyncore.dispatcher] = deque()
        self._at_work = threading.local()
        self._is_woken = False

    def __setitem__(self, descriptor: int, socket: wasyncore.dispatcher) -> None:
        super().__setitem__(descriptor, socket)
        self._changed.append(socket)

    def __delitem__(self, descriptor: int) -> None:
        """Forget a socket that is still open: its descriptor may be another's soon."""
        super().__delitem__(descriptor)
        if self._armed.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def ask(self, socket: wasyncore.dispatcher) -> None:
        """Ask a socket what it waits for, in the next turn."""
        self._changed.append(socket)

    def turn(self, timeout_s: float) -> None:
        """Wait for events, for ``timeout_s`` at most, and handle them."""
        self._arm_changed()
        for descriptor, flags in self._epoll.poll(timeout_s):
            socket = self.get(descriptor)
            if socket is None or not self._armed.get(descriptor):
                continue  # closed by an event before; another may have the descriptor by now
            self._armed[descriptor] = 0
            wasyncore.readwrite(socket, flags)
            self._changed.append(socket)

    def work_on(self, socket: wasyncore.dispatcher) -> None:
        """Note which socket the calling thread answers; ``wake`` asks that one."""
        self._at_work.socket = socket

    def wake(self, pull: Callable[[], None]) -> None:
        """End the turn in which the loop waits, because the thread has changed what a socket needs.

        Any thread may call it. ``pull`` is called if no other thread did so since the last turn.
        """
        socket = getattr(self._at_work, "socket", None)
        if socket is not None:
            self._changed.append(socket)
        if not self._is_woken:
            self._is_woken = True
            pull()

    def close(self) -> None:
        """Close the epoll instance, after all sockets."""
        self._epoll.close()

    def _arm_changed(self) -> None:
        # In this order: what a thread appends after it sees that the loop is woken is found here.
        self._is_woken = False
        changed = self._changed
        while changed:
            socket = changed.popleft()
            descriptor = socket._fileno
            known = self.get(descriptor)
            if known is None or known is not socket:
                continue  # it was closed
            flags = 0
            if socket.readable():
                flags |= select.EPOLLIN
            if socket.writable() and not socket.accepting:
                flags |= select.EPOLLOUT
            armed = self._armed.get(descriptor)
            if flags == (armed or 0):
                continue
            arm = self._epoll.register if armed is None else self._epoll.modify
            with contextlib.suppress(OSError):  # a thread that answers has just closed it
                arm(descriptor, flags | _ONE_EVENT)
                self._armed[descriptor] = flags
