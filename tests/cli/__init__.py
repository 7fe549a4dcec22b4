"""Test the command line, in the test's process and on a terminal."""
