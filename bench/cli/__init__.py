"""Questions about the command line, one in each file."""
