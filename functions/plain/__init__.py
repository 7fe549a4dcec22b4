"""Plain requests, answered without Falcon, with the same bytes as Falcon would answer.

Most requests are plain. Falcon's request, response, router and middleware would take more than half
of the time of a read. Falcon answers all other requests. ``requests`` has the parts that plain
requests share; ``gets`` answers reads of one value, and ``/livez``; for servers with an event loop,
``writes`` answers writes of one value, and ``mgets`` answers mgets.
"""
