"""Granian: worker processes with their sockets in Rust.

``server`` starts them, ``worker`` is one of them, ``respawns`` bounds how often a dead one is
started again, ``stalled`` closes connections of clients that stopped in the middle.
"""
