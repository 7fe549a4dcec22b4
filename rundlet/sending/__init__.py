"""Send requests: retries, connections, and the code that waits."""
