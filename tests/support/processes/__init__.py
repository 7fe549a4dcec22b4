"""Real processes: servers, writers, the command line; always ended by process id."""
