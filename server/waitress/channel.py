"""A connection of waitress: how it answers, and when the server closes it.

waitress itself closes idle connections only. This module also closes a connection whose client
sends headers or a body too slowly or does not read the answer, and, if there are too many
connections, those that have been idle longest.
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
_PRESSED_IDLE_S: Final = 1.0
_PRESSED_SHARE: Final = 20  # one connection in so many is closed at a time


class Task(WSGITask):  # type: ignore[misc] # waitress has no types
    """A request whose connection stays open if the answer has no body.

    waitress 3.0 closes the connection after each 204 and 304, so every PUT and DELETE would need
    a new one. Such an answer ends with its headers (RFC 9112, section 6.3), so the client knows
    where it ends.
    """

    def set_close_on_finish(self) -> None:
        """Close the connection after the answer if the client needs that to find its end."""
        asked_to_close = self.request.headers.get("CONNECTION", "").lower() == "close"
        if self.has_body or self.version != "1.1" or asked_to_close:
            super().set_close_on_finish()

    def finish(self) -> None:
        """End the answer, and close the connection if a pipelined request would block a thread.

        Before waitress handles a pipelined request, it waits until the client has read most of
        the answers before it. That may take any time, and the waiting thread cannot answer other
        clients. So the connection is closed after this answer instead: a client that pipelines
        requests must be ready to send them again (RFC 9112, section 9.3.2).
        """
        super().finish()
        channel = self.channel
        is_pipelined = len(channel.requests) > 1
        if is_pipelined and channel.total_outbufs_len > channel.adj.outbuf_high_watermark:
            self.close_on_finish = True


class Channel(HTTPChannel):  # type: ignore[misc] # as above
    """A connection that knows whether it is past a time limit."""

    task_class = Task
    error_task_class = ProblemTask
    parser_class = StrictParser

    def is_overdue(self, now_s: float, limits: ConnectionLimits) -> bool:
        """Return whether the client exceeds the time limit for what it is doing now."""
        idle_s: float = now_s - self.last_activity
        if self.total_outbufs_len:
            return idle_s > limits.body_timeout_s
        if self.requests:
            return False
        if self.request is None:
            is_new: bool = self.last_activity == self.creation_time
            return idle_s > (limits.header_timeout_s if is_new else limits.idle_timeout_s)
        if not self.request.headers_finished:
            began_s: float = self.request.began_s
            return now_s - began_s > limits.header_timeout_s
        return idle_s > limits.body_timeout_s

    def is_done(self) -> bool:
        """Return whether a server that shuts down may close the connection.

        It may if no request and no answer is interrupted, or if the client has stopped for
        seconds in the middle of one.
        """
        is_waiting = self.total_outbufs_len or (self.request is not None and not self.requests)
        if is_waiting:
            idle_s: float = time.time() - self.last_activity
            return idle_s > _STALLED_S
        return not self.requests


def close_all(channels: Iterable[Channel]) -> None:
    """Close connections; call it in the thread that owns the sockets.

    waitress's own way is to mark a connection and close it when its socket accepts bytes again.
    The socket of a client that does not read never does.
    """
    for channel in channels:
        channel.handle_close()


def overdue(channels: Iterable[Channel], limits: ConnectionLimits) -> list[Channel]:
    """Return the connections that are past a time limit."""
    now_s = time.time()
    return [channel for channel in channels if channel.is_overdue(now_s, limits)]


def longest_idle(channels: Collection[Channel]) -> list[Channel]:
    """Return some connections to close when the limit on connections is reached.

    A connection with an in-flight request, or with traffic within the last second, is not
    among them.
    """
    latest_s = time.time() - _PRESSED_IDLE_S
    idle = [
        channel
        for channel in channels
        if not channel.requests
        and not channel.total_outbufs_len
        and channel.last_activity < latest_s
    ]
    idle.sort(key=lambda channel: channel.last_activity)
    return idle[: max(1, len(channels) // _PRESSED_SHARE)]
