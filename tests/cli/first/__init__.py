"""Test the first minutes: what a server says when it starts, and the sample data."""
