"""The past of any store: ``differences`` between two moments, ``rollback`` to an earlier one."""
