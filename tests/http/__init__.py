"""Test the HTTP API in the test's process, and through raw sockets where bytes matter."""
