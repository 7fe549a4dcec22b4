"""Small servers to compare with; a developer could write each of them in an afternoon.

Each answers ``GET`` and ``PUT`` of ``/v1/kv/KEY`` on 127.0.0.1, holds the rows of a key-value text
file from the start, and runs as ``python -m bench.peers.NAME --port P ...``.
"""
