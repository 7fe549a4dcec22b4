"""Backups: ``rundlet backup`` copies a store, ``rundlet restore`` makes a store of a copy.

``places`` says where backups are kept, ``sources`` where they come from.
"""
