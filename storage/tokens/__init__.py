"""Access tokens, kept as hashes beside the data.

``file`` creates, reads and revokes them; ``watch`` notices a change without reading the file.
"""
