"""Load generators: ``script`` makes requests, ``generator`` and ``wrk`` send them.

``dialects`` holds the requests of each kind of server, ``answers`` finds the end of an answer, and
``outcome`` holds the results of a load.
"""
