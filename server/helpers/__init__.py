"""Processes and folders beside the server, which end with it.

``watched`` starts the maintenance process again when it dies, ``janitor`` removes the private
folders of ``scratch`` when the server is gone.
"""
