"""Output for people and machines: on a terminal, in a pipe, as JSON.

``terminal`` writes lines and escapes control characters, ``values`` reads values and content types,
``times`` and ``sizes`` convert times and sizes, ``json_line`` writes JSON, ``formats`` tables
and other formats, ``questions`` asks for confirmation. ``progress`` shows the progress of long
work, with ``bars`` on a terminal.
"""
