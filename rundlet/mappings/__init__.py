"""Keys and values as a dict, and how values become bytes."""
