"""Simple models that say what must be true."""
