"""Processes and folders beside the server, which end with it.

``needed`` decides which of them a server needs; ``watched`` restarts the maintenance process when
it dies; ``hung`` ends processes that are stopped or hang; ``watchdog`` lets systemd end the first
process if that hangs; ``scratch`` makes private folders; ``janitor`` removes them when the server
has ended.
"""
