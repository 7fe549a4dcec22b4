"""``rundlet shell``: a prompt for many commands on one connection.

``command`` reads and runs lines, ``lines`` edits, completes and remembers them.
"""
