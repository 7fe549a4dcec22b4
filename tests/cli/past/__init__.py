"""The commands on the past, on a server and on a folder."""
