"""Backups: leases, backup directories, restores."""
