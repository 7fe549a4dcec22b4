"""Waiting for the next commit of any process, without a busy loop.

Each process that waits has a FIFO in the folder ``waiters`` of the store, and one thread that
sleeps on it (``waiting``). A writer that has published a commit looks at one word of the commit
page; only if that says that there are waiters does it write a byte to every FIFO (``waker``).
Nothing here is data: no file is synced, and a lost byte costs at most a second (``fifo``).
"""
