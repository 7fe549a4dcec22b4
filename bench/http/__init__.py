"""Questions about servers over HTTP, one in each file."""
