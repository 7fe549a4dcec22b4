"""Test the log store, from the bytes on disk to the guarantees of the interface."""
