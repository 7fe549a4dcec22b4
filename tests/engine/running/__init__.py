"""Test what happens in an open store: groups of commits, expiry, housekeeping, publication."""
