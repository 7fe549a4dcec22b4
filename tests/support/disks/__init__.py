"""Disks that fail, fill up or forget, and stores on them."""
