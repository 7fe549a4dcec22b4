"""Small servers to compare with, each what somebody would write in an afternoon.

Every one answers ``GET`` and ``PUT`` of ``/v1/kv/KEY`` on 127.0.0.1, holds the rows of a
key-value text file from the start, and runs as ``python -m bench.peers.NAME --port P ...``.
"""
