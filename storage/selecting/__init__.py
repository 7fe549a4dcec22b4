"""Select keys of a list: by ``globs``, for pages (``matching``) and for ``deletion``."""
