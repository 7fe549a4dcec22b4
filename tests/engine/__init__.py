"""The log store, from bytes on disk to the promises of the interface."""
