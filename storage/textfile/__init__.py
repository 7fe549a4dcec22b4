"""Key-value text files: checked, loaded into a store, or served as they are.

``lines`` defines a good line, ``parsing`` checks many at once. ``loading`` loads a file into a
store, and ``marks`` remembers that it did. ``store`` serves a file read-only by its ``index``;
``index_place`` finds a place for the index, ``sorting`` sorts its keys.
"""
