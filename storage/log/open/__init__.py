"""Opening a store: clean up what a crash left, before anything is read.

``recovery`` finds the end of the log and truncates a torn tail, ``folder_lock`` lets one process
write at a time, ``orphans`` removes files that no manifest names. ``read_only`` opens a store where
nothing can be written, ``alone`` keeps all other processes from a folder, and ``unfinished``
refuses a folder that a restore has not filled yet.
"""
