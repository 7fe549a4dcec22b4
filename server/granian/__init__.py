"""Granian: worker processes whose sockets are handled in Rust.

``server`` starts the workers; ``worker`` runs in each of them; ``respawns`` decides when to stop
restarting workers. In a worker, ``bridge`` is the ASGI application around the WSGI application of
``functions``. Plain requests are answered before the loop sees them: reads by ``shortcut``, and by
``writes`` and ``mgets`` those whose bodies have come (``arrivals``).
``environ`` makes the environment of a request, ``bodies`` receives its body, ``exchange`` sends the
answer. ``waiting`` lets requests wait in the event loop, for commits (``committer``), for the next
commit of anyone (``watching``, with the changes of ``recent``) and for long work; ``connections``
closes what Granian would keep open.
"""
