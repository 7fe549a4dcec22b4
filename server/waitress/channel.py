"""A connection of waitress: what is answered on it, and when it has to go.

waitress closes connections that are idle, and no others. So these are looked over here: who sends
headers or a body too slowly, who does not read the answer, and, when there are too many, who has
been silent longest.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Final

from waitress.channel import HTTPChannel
from waitress.task import WSGITask

from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.server.waitress.errors import ProblemTask, StrictParser

_STALLED_S: Final = 5.0
_PRESSED_SILENCE_S: Final = 1.0
_PRESSED_SHARE: Final = 20  # one in so many goes at a time


class Task(WSGITask):  # type: ignore[misc] # waitress has no types
    """A request, whose connection stays open when the answer has no body.

    waitress 3.0 closes it after each 204 and 304, so that every PUT and DELETE would need a new
    connection. Such an answer ends with its headers (RFC 9112, section 6.3): nothing is unclear.
    """

    def set_close_on_finish(self) -> None:
        """Close the connection after the answer, where that tells its end."""
        asked_to_close = self.request.headers.get("CONNECTION", "").lower() == "close"
        if self.has_body or self.version != "1.1" or asked_to_close:
            super().set_close_on_finish()

    def finish(self) -> None:
        """End the answer.

        Before it works on a request that came together with this one, waitress waits until the
        client has read most of what is there, in a thread that could answer others, however long
        that takes. The connection is closed after this answer instead: who sends requests ahead
        must be ready to send them again (RFC 9112, section 9.3.2).
        """
        super().finish()
        channel = self.channel
        is_pipelined = len(channel.requests) > 1
        if is_pipelined and channel.total_outbufs_len > channel.adj.outbuf_high_watermark:
            self.close_on_finish = True


class Channel(HTTPChannel):  # type: ignore[misc] # as above
    """A connection that knows when it is overdue."""

    task_class = Task
    error_task_class = ProblemTask
    parser_class = StrictParser

    def is_overdue(self, now_s: float, limits: ConnectionLimits) -> bool:
        """Whether the client has taken longer than it may for what it is doing."""
        silent_s: float = now_s - self.last_activity
        if self.total_outbufs_len:
            return silent_s > limits.body_timeout_s
        if self.requests:
            return False
        if self.request is None:
            is_new: bool = self.last_activity == self.creation_time
            return silent_s > (limits.header_timeout_s if is_new else limits.idle_timeout_s)
        if not self.request.headers_finished:
            began_s: float = self.request.began_s
            return now_s - began_s > limits.header_timeout_s
        return silent_s > limits.body_timeout_s

    def is_done(self) -> bool:
        """Whether a server that ends may close it.

        It may where that cuts off neither a request nor an answer, and where a client in the
        middle of one has not moved for seconds.
        """
        is_waiting = self.total_outbufs_len or (self.request is not None and not self.requests)
        if is_waiting:
            silent_s: float = time.time() - self.last_activity
            return silent_s > _STALLED_S
        return not self.requests


def let_go(channels: Iterable[Channel]) -> None:
    """Close connections; in the thread that has the sockets.

    waitress would rather mark them, and close them when their sockets take bytes again, which
    that of a client who does not read never does.
    """
    for channel in channels:
        channel.handle_close()


def overdue(channels: Iterable[Channel], limits: ConnectionLimits) -> list[Channel]:
    """The connections that have to go."""
    now_s = time.time()
    return [channel for channel in channels if channel.is_overdue(now_s, limits)]


def longest_silent(channels: Collection[Channel]) -> list[Channel]:
    """Some connections that may go where all places are taken, to make room.

    Nobody goes who is being answered, nor who said something within the last second.
    """
    latest_s = time.time() - _PRESSED_SILENCE_S
    silent = [
        channel
        for channel in channels
        if not channel.requests
        and not channel.total_outbufs_len
        and channel.last_activity < latest_s
    ]
    silent.sort(key=lambda channel: channel.last_activity)
    return silent[: max(1, len(channels) // _PRESSED_SHARE)]
