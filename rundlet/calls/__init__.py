"""The operations of a server, without I/O: what is sent, and what the answers mean."""
