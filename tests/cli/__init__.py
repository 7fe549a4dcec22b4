"""The command line, in process and in a terminal."""
