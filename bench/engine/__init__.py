"""Questions about embedded stores, one in each file."""
