"""Keys that match a glob: lists, counts, deletion."""
