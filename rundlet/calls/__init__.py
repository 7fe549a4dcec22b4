"""The operations of the API, without I/O: they make requests and interpret the answers."""
