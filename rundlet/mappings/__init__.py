"""Keys and values as a dict, and the codecs of values."""
