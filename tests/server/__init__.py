"""The processes of a server, on waitress and on Granian."""
