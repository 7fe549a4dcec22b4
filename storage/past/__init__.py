"""What can be said of the past of any store: ``differences`` between two moments, ``rollback``."""
