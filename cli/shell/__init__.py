"""``rundlet shell``: a prompt for many commands on one connection.

``command`` reads and runs lines; ``lines`` has their completion and history.
"""
