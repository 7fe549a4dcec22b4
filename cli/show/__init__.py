"""What people and machines read: on a terminal, in a pipe, as JSON.

``terminal`` writes lines and escapes what could drive a terminal, ``values`` shows values,
``times`` and ``sizes`` times and sizes, ``json_line`` JSON. ``progress`` follows long work, with
``bars`` on a terminal.
"""
