"""``rundlet bench``: measure the speed of a server or a folder.

``command`` is the command; ``mix`` chooses the operations, ``keys`` prepares the keys, ``clients``
run and time the operations; ``histogram`` counts latencies, ``report`` and ``svg`` show them.
"""
