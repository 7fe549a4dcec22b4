"""Plain requests, answered without Falcon; it answers all others, and to the byte the same.

Most requests are plain, and Falcon's request, response, router and middleware would take more than
half of the time of a read. ``requests`` (what plain requests have in common), ``gets`` (reads of
one value, and ``/livez``), and for servers with an event loop ``writes`` (of one value) and
``mgets``.
"""
