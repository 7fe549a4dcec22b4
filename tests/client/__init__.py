"""Test the Python client against real servers and against servers that misbehave."""
