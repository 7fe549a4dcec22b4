"""Disks that fail, become full or lose unsynced data, and stores on them."""
