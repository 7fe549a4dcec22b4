"""Key-value text files: reading, loading, serving."""
