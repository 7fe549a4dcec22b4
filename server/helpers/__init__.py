"""Processes and folders beside the server, which end with it.

``needed`` says which a server needs, ``watched`` starts one again when it dies, ``janitor``
removes the private folders of ``scratch`` when the server is gone.
"""
