"""Granian: worker processes whose sockets are handled in Rust.

``server`` starts the workers; ``worker`` runs in each of them; ``respawns`` decides when to stop
restarting workers. In a worker, ``bridge`` is the ASGI application around the WSGI application of
``functions``. Plain requests are answered before they reach the event loop: ``shortcut`` answers
reads; ``writes`` and ``mgets`` answer requests whose bodies ``arrivals`` receives.
``environ`` makes the environment of a request, ``bodies`` receives its body, ``exchange`` sends the
answer. ``waiting`` lets requests wait in the event loop: for their commits (``committer``), for
changes by any client (``watching``, with the changes in ``recent``), for the audit trail
(``recorder``) and for long work.
``connections`` closes connections that Granian would keep open.
"""
