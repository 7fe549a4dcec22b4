"""``rundlet bench``: how fast a server or a folder is.

``command`` is the command; ``mix`` says what is asked, ``keys`` of which keys, ``clients`` ask and
measure; ``histogram`` counts latencies, ``report`` and ``svg`` show them.
"""
