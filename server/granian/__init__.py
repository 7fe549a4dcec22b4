"""Granian: worker processes whose sockets are handled in Rust.

``server`` starts the workers; ``worker`` runs in each of them; ``respawns`` decides when to stop
restarting workers; ``stalled`` closes connections on which a client stopped in the middle of a
request or an answer.
"""
