"""Finding damage without changing anything.

``opened`` opens the files of a store for reading, ``verify`` reads every byte, ``rebuild`` makes
the index again from the log and ``index_against_log`` compares the two, ``salvage`` reads on
behind damaged bytes, ``inspection`` summarises a folder.
"""
