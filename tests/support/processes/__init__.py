"""Start real processes (servers, writers, the command line), and end them by process id."""
