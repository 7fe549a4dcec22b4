"""Test where a command goes: contexts, the dashboard of a server."""
