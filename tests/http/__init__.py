"""The HTTP API: in process, and by raw sockets where bytes matter."""
