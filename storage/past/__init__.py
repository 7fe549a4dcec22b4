"""The past of any store: ``differences`` between two moments, ``rollback`` to an earlier one.

``holds`` keeps a moment of a store readable that is outside this process.
"""
