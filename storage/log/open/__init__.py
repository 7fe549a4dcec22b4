"""Opening a store: what a crash left is put in order before anything is read.

``recovery`` finds the end of the log and truncates a torn tail, ``folder_lock`` lets one process
write at a time, ``orphans`` removes files that no manifest names.
"""
