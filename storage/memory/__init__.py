"""The memory of a process: ``allocator`` makes malloc release it, ``collector`` tunes Python's."""
