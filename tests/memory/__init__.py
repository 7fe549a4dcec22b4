"""What memory the server takes: every queue, cache and buffer keeps its bound."""
