"""Speak to a cluster: ``place`` reads the address, ``client`` chooses a node and repeats calls.

``calls`` has what can be called and how calls fail, ``requests`` builds requests, ``combining``
reads keys that are asked for at the same time in one call.
"""
