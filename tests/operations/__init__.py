"""What the person who runs a server sees when something is wrong around it."""
