"""Backups: ``rundlet backup`` copies a store, ``rundlet restore`` makes a store of a copy.

``places`` opens the places of backups, ``sources`` the stores to back up.
"""
