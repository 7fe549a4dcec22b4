"""Test the processes of a server, with waitress and with Granian."""
