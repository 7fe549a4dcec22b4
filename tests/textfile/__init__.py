"""Test key-value text files: reading, loading, serving."""
