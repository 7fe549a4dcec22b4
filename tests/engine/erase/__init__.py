"""Erasing: what is left of a key in files, after crashes, and in other processes."""
