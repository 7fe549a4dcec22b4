"""Wait for events on many sockets, and update only the sockets that have changed.

waitress's own loop asks each socket in each turn which events it waits for, and passes all of them
to the system again: a turn with a thousand connections took 3 ms, even without events. ``Sockets``
keeps the events of each socket in an epoll instance. It asks a socket again only after an event on
it, or after a thread that answers one of its requests woke the loop. So the cost of a turn depends
on the number of events only.
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

    A socket is armed for one event. Until it is asked again after the event, it gets no further
    event, not even that its client is gone: so a connection with an in-flight request needs no
    system call.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoll = select.epoll()
        self._armed: dict[int, int] = {}  # the events in epoll; 0 after the event
        self._changed: deque[wasyncore.dispatcher] = deque()
        self._at_work = threading.local()
        self._is_woken = False

    def __setitem__(self, descriptor: int, socket: wasyncore.dispatcher) -> None:
        super().__setitem__(descriptor, socket)
        self._changed.append(socket)

    def __delitem__(self, descriptor: int) -> None:
        """Forget a socket before it is closed, because its descriptor may soon be reused."""
        super().__delitem__(descriptor)
        if self._armed.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def ask(self, socket: wasyncore.dispatcher) -> None:
        """Ask a socket in the next turn which events it waits for."""
        self._changed.append(socket)

    def turn(self, timeout_s: float) -> None:
        """Wait for events, for ``timeout_s`` at most, and handle them."""
        self._arm_changed()
        for descriptor, flags in self._epoll.poll(timeout_s):
            socket = self.get(descriptor)
            if socket is None or not self._armed.get(descriptor):
                continue  # an earlier event closed it; the descriptor may be reused
            self._armed[descriptor] = 0
            wasyncore.readwrite(socket, flags)
            self._changed.append(socket)

    def work_on(self, socket: wasyncore.dispatcher) -> None:
        """Record which socket the calling thread answers; ``wake`` marks it as changed."""
        self._at_work.socket = socket

    def wake(self, pull: Callable[[], None]) -> None:
        """Wake the loop, because the thread has changed the events that a socket waits for.

        Any thread may call it. It calls ``pull`` unless another thread has since the last turn.
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
        # Reset first: a socket that a thread appends without a wake is then found below.
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
            with contextlib.suppress(OSError):  # the thread that answers has just closed it
                arm(descriptor, flags | _ONE_EVENT)
                self._armed[descriptor] = flags
