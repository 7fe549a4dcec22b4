"""Tests of the commands that care for a store: verify, repair, backup, restore, doctor."""
