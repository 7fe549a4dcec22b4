"""Fork in a test: run a function in a child that has every object of the test, and one thread."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from typing import Final

from tests.support import PATIENCE_S

_LOOK_S: Final = 0.005


class ForkedChild:
    """A child of the test's process that runs a function and ends.

    Its parent may have many threads. The child leaves without any clean-up, as multiprocessing's
    children do: what pytest has open is not the child's.

    Attributes:
        is_aborted: a signal has ended it, as libraries do that a fork leaves in a broken state.
    """

    def __init__(self, run: Callable[[], object]) -> None:
        told, tell = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            _run_and_leave(run, tell)
        os.close(tell)
        self._told = told
        self._has_ended = False
        self.is_aborted = False

    def finish(self, patience_s: float = PATIENCE_S) -> None:
        """Wait for the end of the function; fail if it raises, or hangs."""
        is_hanging = not self._ends_within(patience_s)
        self.kill()
        with os.fdopen(self._told) as told:
            said = told.read()
        assert not is_hanging, f"a forked child hangs, {said or 'without a word'}"
        assert not said, f"in a forked child: {said}"

    def kill(self) -> None:
        """End the child, whatever it does."""
        if not self._has_ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._has_ended = True

    def _ends_within(self, patience_s: float) -> bool:
        until_s = time.monotonic() + patience_s
        while not self._has_ended and time.monotonic() < until_s:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._has_ended = pid != 0
            self.is_aborted = self._has_ended and os.WIFSIGNALED(status)
            time.sleep(_LOOK_S)
        return self._has_ended


def in_child(run: Callable[[], object]) -> None:
    """Run a function in a forked child to its end."""
    ForkedChild(run).finish()


def _run_and_leave(run: Callable[[], object], tell: int) -> None:
    try:
        run()
    except BaseException:
        os.write(tell, traceback.format_exc().encode())
    finally:
        os._exit(0)
