"""Which keys of a list are meant: ``globs``, pages of those that ``match``, their ``deletion``."""
