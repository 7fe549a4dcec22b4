"""The memory of a process: ``collector`` tunes Python's.

``allocator`` makes malloc release what is freed, and ``trimming`` what lies between memory in use.
"""
