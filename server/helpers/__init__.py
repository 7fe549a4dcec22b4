"""Processes and folders beside the server, which end with it.

``watched`` restarts the maintenance process when it dies; ``scratch`` makes private folders;
``janitor`` removes them when the server has ended.
"""
