"""The processes of a running server. ``cli.serve.command`` calls ``run.serve`` and nothing else.

The processes and threads of one server, with waitress (left) and with Granian (right)::

    rundlet serve (waitress)               rundlet serve --workers 2
      ├─ main thread: sockets, plain GETs    ├─ worker 1: sockets, one event loop,
      │                                      │    a committer, threads for long work
      ├─ N threads: functions.app            ├─ worker 2: the same
      ├─ maintenance process                 ├─ maintenance process
      └─ janitor process (--in-memory)       └─ janitor process (--in-memory)

No process outlives the first one, however it ends: maintenance and janitor read a pipe that
breaks when it ends, and the workers check that it is alive (``granian.worker``).

``run`` starts and stops everything in order; ``greeting`` makes the text that a server prints when
it is ready, and ``own_command`` the command as a person types it.

The packages: ``listen`` (address and TLS), ``waitress`` and ``granian`` (the two ways to serve),
``messages`` (the checks of requests that both make), ``helpers`` (processes beside the server).
"""
