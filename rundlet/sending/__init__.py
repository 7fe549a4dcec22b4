"""Sending requests: what may be sent again, connections, and the lines that wait."""
