"""Requests, answers and formats at the level of bytes."""
